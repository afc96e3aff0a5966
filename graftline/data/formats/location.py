"""Location of raw data, local or in a bucket, accessed through local paths; objects are downloaded on request."""

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
    """Where raw data are and how the config wants them read."""

    uri: str
    """As given in the config, for messages; relative file names in a table start at its folder."""
    path: Path
    """Local file or folder; for a bucket prefix, the folder that its objects are downloaded to."""
    entries: tuple[FileInfo, ...] | None = None
    """Listing of a bucket prefix, relative to `path`; None for local data."""
    columns: Columns = field(default_factory=Columns)
    scratch: Path | None = None
    """Folder for objects that table rows reference by URI; None if nothing may be downloaded."""
    task: str = DEFAULT_TASK
    """Problem kind, for formats that can hold other labels than classes."""

    def __str__(self) -> str:
        return self.uri

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder or a bucket prefix."""
        return self.entries is not None or self.path.is_dir()

    @property
    def is_file(self) -> bool:
        """Whether this is a single file, which is then available locally."""
        return self.entries is None and self.path.is_file()

    @cached_property
    def _entries_by_name(self) -> dict[str, FileInfo]:
        return {entry.name: entry for entry in self.entries or ()}

    def iter_first_names(self, limit: int) -> Iterator[str]:
        """Yields names of the first files in the folder and its subfolders, `limit` per level; none for a file."""
        if self.entries is not None:
            yield from islice((entry.name for entry in self.entries if entry.name.count("/") <= 1), 2 * limit)
        elif self.path.is_dir():
            for pattern in ("*", "*/*"):
                paths = islice(sorted(self.path.glob(pattern)), limit)
                yield from (path.relative_to(self.path).as_posix() for path in paths if path.is_file())

    def fetch(self, names: Iterable[str]) -> None:
        """Downloads files of a bucket prefix that are not available locally yet; does nothing for local data.

        Raises:
            RefusedError: The storage denies access.
        """
        if self.entries is not None:
            access.fetch(self.uri, [self._entries_by_name[name] for name in names], self.path)

    def fetch_file(self, name: str) -> Path:
        """Returns the local path of one listed file, downloading it if necessary.

        Args:
            name: Relative name, as in the listing.
        """
        path = self.path / name
        if self.entries is not None and not path.exists():
            self.fetch([name])
        return path


def locate_data(
    uri: str,
    scratch: Path | None,
    columns: Columns | None = None,
    entries: list[FileInfo] | None = None,
    task: str = DEFAULT_TASK,
) -> DataLocation:
    """Resolves a URI to a location. A bucket prefix is listed, a single object is downloaded.

    Args:
        uri: Local path, file:// or gs:// URI, or `builtin:...`.
        scratch: Local folder for downloaded objects; without it a bucket is refused.
        columns: Table columns that the config names.
        entries: Listing of the bucket prefix if it is already known.
        task: Problem kind that labels are read as.

    Raises:
        RefusedError: The location does not exist, is malformed, or access is denied.
    """
    columns = columns or Columns()
    if uri.startswith(BUILTIN):
        return DataLocation(uri, Path(uri), None, columns, task=task)
    if not access.is_remote(uri):
        return DataLocation(uri, access.local(uri, None), None, columns, scratch, task)
    if scratch is None:
        raise RefusedError(f"{uri}: this is in a bucket, and only local data can be used here; give a local copy")
    entries = access.listing(uri) if entries is None else entries
    name = uri.rstrip("/").rpartition("/")[2]
    if len(entries) == 1 and entries[0].name == name and not uri.endswith("/"):
        access.fetch(uri, entries, scratch)
        return DataLocation(uri, scratch / name, None, columns, scratch, task)
    return DataLocation(uri, scratch / "files", tuple(entries), columns, scratch, task)
