"""Members of a zip, checked by its central directory and read in place."""

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

from graftline.data.formats.archives.members import FileTree, Member, MemberNameChecker, check_unpacked_size
from graftline.runtime.errors import RefusedError

_ENCRYPTED = 1


@contextmanager
def open_zip(archive: Path) -> Iterator[FileTree]:
    """Opens a zip.

    Raises:
        RefusedError: The archive is damaged, encrypted, or has an unsafe member.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise RefusedError(f"{archive}: incomplete or damaged zip ({error}); copy or download it again") from None
    with opened:
        lock = threading.Lock()
        tree = FileTree([], [])
        checker = MemberNameChecker(archive)
        unpacked = sum(info.file_size for info in opened.infolist())
        check_unpacked_size(archive, archive.stat().st_size, unpacked)
        for info in opened.infolist():
            _check_member(archive, info, checker)
            if info.is_dir():
                tree.folders.append(info.filename.rstrip("/"))
            else:
                tree.members.append(Member(info.filename, info.file_size, partial(_read, opened, info, lock)))
        yield tree


def _check_member(archive: Path, info: zipfile.ZipInfo, checker: MemberNameChecker) -> None:
    checker.check(info.orig_filename, is_folder=info.is_dir())
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        entry_type = "a link" if mode == stat.S_IFLNK else "neither a file nor a folder"
        raise RefusedError(
            f"{archive}: the member {info.filename!r} is {entry_type}; create the archive again without it"
        )
    if info.flag_bits & _ENCRYPTED:
        raise RefusedError(f"{archive}: the member {info.filename!r} is encrypted; give an archive without a password")


def _read(opened: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> BytesIO:
    """Reads a member into memory. The lock is needed because zipfile's count of open members is not thread-safe."""
    try:
        with lock:
            return BytesIO(opened.read(info))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise OSError(f"damaged member of the zip: {error}") from None
