"""Common interface to the files of a folder, a zip or a tar, and the safety checks of archives.

Nothing is extracted, so a member's name never becomes a path on disk. An archive with a name that could leave its
folder is refused nevertheless: it is either malicious or damaged.
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
"""Maximum number of members of an archive."""
MAX_BYTES = 256 * 2**30
"""Maximum unpacked size of an archive."""
MAX_RATIO = 100
"""Maximum ratio of unpacked to packed size; image archives rarely reach 10."""
RATIO_FREE_BYTES = 64 * 2**20
"""Unpacked size up to which the ratio is not checked."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a tree."""

    name: str
    """Relative name with forward slashes."""
    size: int
    """Unpacked size in bytes."""
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class FileTree:
    """Files and folders of a location."""

    members: list[Member]
    folders: list[str]
    """Names of all folders, including empty ones."""
    dropped: list[Dropped] = field(default_factory=list)
    """Files that are not read, such as links that leave the folder."""


class MemberNameChecker:
    """Checks the member names of one archive, one after the other."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._seen: dict[str, str] = {}
        self._files: set[str] = set()

    def check(self, name: str, *, is_folder: bool) -> None:
        """Checks the next member's name.

        Raises:
            RefusedError: The name is absolute, has a drive letter, `..`, a backslash or a control character, repeats
                an earlier name or differs from one only by case; or the archive has too many members.
        """
        if reason := bad_name(name):
            raise RefusedError(
                f"{self._archive}: the member {name!r} {reason}; create the archive again from a clean folder"
            )
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            other = self._seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
            if other != path:
                raise RefusedError(
                    f"{self._archive}: the members {other!r} and {path!r} differ only by case, so one would overwrite "
                    "the other on a case-insensitive file system; rename one"
                )
        path = "/".join(parts)
        if not is_folder and path in self._files:
            raise RefusedError(f"{self._archive}: two members have the name {name!r}; create the archive again")
        self._files.add(path)
        if len(self._files) > MAX_MEMBERS:
            raise RefusedError(f"{self._archive}: more than {MAX_MEMBERS:,} members; give an unpacked folder instead")


def check_unpacked_size(archive: Path, packed: int, unpacked: int) -> None:
    """Refuses an archive that unpacks to too many bytes.

    Args:
        archive: For messages.
        packed: Size of the archive in bytes.
        unpacked: Unpacked size in bytes, as far as known.

    Raises:
        RefusedError: The unpacked size exceeds `MAX_BYTES`, or `MAX_RATIO` times the packed size.
    """
    if unpacked > MAX_BYTES:
        raise RefusedError(f"{archive}: unpacks to more than {MAX_BYTES:,} bytes; split it")
    if unpacked > RATIO_FREE_BYTES and unpacked > MAX_RATIO * packed:
        raise RefusedError(
            f"{archive}: its {packed:,} bytes unpack to more than {MAX_RATIO} times as many, like a decompression "
            "bomb; if the content is valid, give the unpacked folder"
        )


@contextmanager
def list_folder(folder: Path) -> Iterator[FileTree]:
    """Lists the regular files of a folder, sorted by name. Links to files inside the folder are followed."""
    tree = FileTree([], [])
    root = folder.resolve()
    for path, folders, names in os.walk(folder):
        parent = Path(path).relative_to(folder)
        links = {name for name in folders if (Path(path) / name).is_symlink()}
        tree.dropped.extend(
            Dropped(file=(parent / name).as_posix(), why="a link to a folder, which is not followed")
            for name in sorted(links)
        )
        folders[:] = sorted(set(folders) - links)
        tree.folders.extend((parent / name).as_posix() for name in folders)
        for name in sorted(names):
            _add_file(tree, folder, root, (parent / name).as_posix())
    yield tree


def _add_file(tree: FileTree, folder: Path, root: Path, name: str) -> None:
    path = folder / name
    reason = "has a control character in its name" if CONTROL.search(name) else None
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        reason = "a link to a file outside the folder"
    elif reason is None and not path.exists():
        reason = "a broken link"
    elif reason is None and not stat.S_ISREG(path.stat().st_mode):
        reason = "not a regular file"
    if reason:
        tree.dropped.append(Dropped(file=name, why=reason))
    else:
        tree.members.append(Member(name, path.stat().st_size, partial(_open, folder, name)))


def _open(folder: Path, name: str) -> BinaryIO:
    """Joins the path only now: a million path objects would take half a gigabyte."""
    return (folder / name).open("rb")
