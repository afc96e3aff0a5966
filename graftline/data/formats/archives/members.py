"""The files of a folder, a zip or a tar behind one face, so that a format reads them alike and nothing is extracted.

No member's name ever becomes a path on disk, yet an archive that holds a name which could leave a folder is refused
whole: it was made to harm, or is damaged.
"""

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from graftline.data.dataset import Dropped
from graftline.runtime.errors import RefusedError
from graftline.storage.paths import CONTROL, bad_name

MAX_MEMBERS = 500_000
"""Members of one archive."""
MAX_BYTES = 256 * 2**30
"""Unpacked bytes of one archive."""
MAX_RATIO = 100
"""Unpacked bytes over packed ones, beyond the first 64 MiB; images seldom reach 10."""
FREE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Member:
    """A file."""

    name: str
    """Relative, with slashes."""
    size: int
    """Bytes, unpacked."""
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Files:
    """What a place holds."""

    members: list[Member]
    folders: list[str]
    """Names of folders, the empty ones too."""
    faults: list[Dropped] = field(default_factory=list)


class Names:
    """Checks an archive's member names one after the other."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._seen: dict[str, str] = {}
        self._files: set[str] = set()

    def check(self, name: str, *, folder: bool) -> None:
        """Takes one member's name.

        Raises:
            RefusedError: Absolute, with a drive letter, `..`, a backslash or a control character, equal to an earlier
                name or differing from one only by case, or one member too many.
        """
        why = bad_name(name)
        if why:
            raise RefusedError(f"{self._archive}: the member {name!r} {why}; make the archive anew from a clean folder")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            other = self._seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path:
                raise RefusedError(
                    f"{self._archive}: the members {other!r} and {path!r} differ only by case, so one "
                    "would overwrite the other on many machines; rename one"
                )
        path = "/".join(parts)
        if not folder and path in self._files:
            raise RefusedError(f"{self._archive}: two members are called {name!r}; make the archive anew")
        self._files.add(path)
        if len(self._files) > MAX_MEMBERS:
            raise RefusedError(f"{self._archive}: more than {MAX_MEMBERS:,} members; give a folder instead")


def check_size(archive: Path, packed: int, unpacked: int) -> None:
    """Refuses an archive that unpacks to too much.

    Args:
        archive: For the message.
        packed: Its own bytes.
        unpacked: Bytes that it unpacks to, as far as they are known.

    Raises:
        RefusedError: Over `MAX_BYTES`, or over `MAX_RATIO` times the file's own size.
    """
    if unpacked > MAX_BYTES:
        raise RefusedError(f"{archive}: unpacks to more than {MAX_BYTES:,} bytes; split it")
    if unpacked > FREE_BYTES and unpacked > MAX_RATIO * packed:
        raise RefusedError(
            f"{archive}: its {packed:,} bytes unpack to more than {MAX_RATIO} times as much, as a "
            "decompression bomb does; give the unpacked folder if it is sound"
        )


@contextmanager
def folder_files(folder: Path) -> Iterator[Files]:
    """Lists a folder's regular files, sorted by name; links are followed while they stay inside."""
    files = Files([], [])
    listed = files.folders
    root = folder.resolve()
    for path, folders, names in os.walk(folder):
        here = Path(path).relative_to(folder)
        linked = {name for name in folders if (Path(path) / name).is_symlink()}
        files.faults.extend(
            Dropped(file=(here / name).as_posix(), why="a link to a folder, which is not followed")
            for name in sorted(linked)
        )
        folders[:] = sorted(set(folders) - linked)
        listed += [(here / name).as_posix() for name in folders]
        for name in sorted(names):
            _add(files, folder, root, (here / name).as_posix())
    yield files


def _add(files: Files, folder: Path, root: Path, name: str) -> None:
    path = folder / name
    why = "has a control character in its name" if CONTROL.search(name) else None
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        why = "a link out of the folder"
    elif why is None and not path.exists():
        why = "a link to nothing"
    elif why is None and not stat.S_ISREG(path.stat().st_mode):
        why = "not a regular file"
    if why:
        files.faults.append(Dropped(file=name, why=why))
    else:
        files.members.append(Member(name, path.stat().st_size, partial(_open, folder, name)))


def _open(folder: Path, name: str) -> BinaryIO:
    """Takes the name apart: a million paths would take half a gigabyte."""
    return (folder / name).open("rb")
