"""Members of a zip, checked by its directory and read in place."""

import stat
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

from graftline.data.formats.archives.members import Files, Member, Names, check_size
from graftline.runtime.errors import RefusedError

_ENCRYPTED = 1


@contextmanager
def zip_files(archive: Path) -> Iterator[Files]:
    """Opens a zip.

    Raises:
        RefusedError: Damaged, encrypted, or with a hostile member.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise RefusedError(f"{archive}: not a whole zip ({error}); copy or download it again") from None
    with opened:
        lock = threading.Lock()
        members, folders = [], []
        names = Names(archive)
        check_size(archive, archive.stat().st_size, sum(info.file_size for info in opened.infolist()))
        for info in opened.infolist():
            _check(archive, info, names)
            if info.is_dir():
                folders.append(info.filename.rstrip("/"))
            else:
                members.append(Member(info.filename, info.file_size, partial(_open, opened, info, lock)))
        yield Files(members, folders)


def _check(archive: Path, info: zipfile.ZipInfo, names: Names) -> None:
    names.check(info.orig_filename, folder=info.is_dir())
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "neither a file nor a folder"
        raise RefusedError(f"{archive}: the member {info.filename!r} is {what}; make the archive anew without it")
    if info.flag_bits & _ENCRYPTED:
        raise RefusedError(f"{archive}: the member {info.filename!r} is encrypted; give an archive without a password")


def _open(opened: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> BytesIO:
    """Reads a member whole; zipfile's own count of open members is not thread-safe, hence the lock."""
    try:
        with lock:
            return BytesIO(opened.read(info))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise OSError(f"damaged in the zip: {error}") from None
