"""Where raw data lie, seen through local paths; what a bucket holds comes here when a format asks for it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from graftline.config import DEFAULT_TASK, Columns
from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.access import FileInfo

BUILTIN = "builtin:"


@dataclass(frozen=True)
class DataLocation:
    """What a format is told of raw data."""

    uri: str
    """As the config has it, for messages; files that a table names lie beside it."""
    path: Path
    """The file or folder; for a bucket's prefix the folder that its objects come to."""
    entries: tuple[FileInfo, ...] | None = None
    """What a bucket's listing says lies below `path`; None for a place that is all here."""
    columns: Columns = field(default_factory=Columns)
    scratch: Path | None = None
    """Folder for what rows of a table name by their own URIs; None where nothing may be fetched."""
    task: str = DEFAULT_TASK
    """What labels are to be read as, by the formats that can hold others than classes."""

    def __str__(self) -> str:
        return self.uri

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder or a prefix, and not one file."""
        return self.entries is not None or self.path.is_dir()

    @property
    def is_file(self) -> bool:
        """Whether it is one file, which then is here."""
        return self.entries is None and self.path.is_file()

    @cached_property
    def _by_name(self) -> dict[str, FileInfo]:
        return {entry.name: entry for entry in self.entries or ()}

    def first_names(self, most: int) -> Iterator[str]:
        """Yields names of the first files in the folder and in its folders, cheaply; none for one file."""
        if self.entries is not None:
            yield from islice((entry.name for entry in self.entries if entry.name.count("/") <= 1), 2 * most)
        elif self.path.is_dir():
            for depth in ("*", "*/*"):
                found = islice(sorted(self.path.glob(depth)), most)
                yield from (path.relative_to(self.path).as_posix() for path in found if path.is_file())

    def fetch(self, names: Iterable[str]) -> None:
        """Brings files of a bucket's prefix here, those that are here stay; nothing to do for a local place.

        Raises:
            RefusedError: Storage refuses.
        """
        if self.entries is not None:
            access.fetch(self.uri, [self._by_name[name] for name in names], self.path)

    def file(self, name: str) -> Path:
        """Where one of the listed files lies, fetched if it has to be.

        Args:
            name: Relative, as listed.
        """
        path = self.path / name
        if self.entries is not None and not path.exists():
            self.fetch([name])
        return path


def data_location(
    uri: str,
    scratch: Path | None,
    columns: Columns | None = None,
    entries: list[FileInfo] | None = None,
    task: str = DEFAULT_TASK,
) -> DataLocation:
    """Looks at a place; a bucket's prefix costs a listing, a single object is fetched.

    Args:
        uri: Local path, file:// or gs:// URI, or `builtin:...`.
        scratch: Folder on disk that a bucket's objects come to; without it a bucket is refused.
        columns: For tables.
        entries: The bucket's listing, where it has been asked for already.
        task: What labels are to be read as.

    Raises:
        RefusedError: Missing, not well formed, or not permitted.
    """
    columns = columns or Columns()
    if uri.startswith(BUILTIN):
        return DataLocation(uri, Path(uri), None, columns, task=task)
    if not access.is_remote(uri):
        return DataLocation(uri, access.local(uri, None), None, columns, scratch, task)
    if scratch is None:
        raise RefusedError(f"{uri}: in a bucket; give a local copy here")
    entries = access.listing(uri) if entries is None else entries
    name = uri.rstrip("/").rpartition("/")[2]
    if len(entries) == 1 and entries[0].name == name and not uri.endswith("/"):
        access.fetch(uri, entries, scratch)
        return DataLocation(uri, scratch / name, None, columns, scratch, task)
    return DataLocation(uri, scratch / "files", tuple(entries), columns, scratch, task)
