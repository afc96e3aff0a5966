"""Members of a tar or tar.gz, checked one by one and read in place; a compressed one by way of an unnamed spool."""

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, Literal, Self

from graftline.data.formats.archives.members import Files, Member, Names, check_size
from graftline.runtime.errors import RefusedError

GZIP = b"\x1f\x8b"
_PIECE = 2**20
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAX_HEADER = 2**20
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeError)


class Unpacked:
    """A gzip's content as a stream that refuses to grow beyond what `check_size` allows."""

    def __init__(self, archive: Path, packed: BinaryIO, size: int) -> None:
        self._archive = archive
        self._packed = size
        self._stream = gzip.GzipFile(fileobj=packed, mode="rb")
        self._total = 0

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes.

        Raises:
            RefusedError: Damaged, or too much.
        """
        pieces = []
        while size > 0:
            try:
                piece = self._stream.read(min(size, _PIECE))
            except (OSError, EOFError, zlib.error) as error:
                raise RefusedError(f"{self._archive}: damaged ({error}); copy or download it again") from None
            if not piece:
                break
            self._total += len(piece)
            check_size(self._archive, self._packed, self._total)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


class TarHeader(tarfile.TarInfo):
    """A header that is whole: tarfile takes a damaged one in the middle for the archive's end, and says nothing."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parses one header block; raises tarfile.ReadError where tarfile would stop without a word."""
        if not buf:
            raise tarfile.ReadError("it ends without its end mark, so it was cut short")
        try:
            info = super().frombuf(buf, encoding, errors)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"bad header: {error}") from None
        if info.size < 0 or (info.type in _LONG_HEADERS and info.size > _MAX_HEADER):
            raise tarfile.ReadError(f"a header claims {info.size:,} bytes")
        return info


@contextmanager
def tar_files(archive: Path) -> Iterator[Files]:
    """Opens a tar or tar.gz.

    Raises:
        RefusedError: Damaged, or with a hostile member.
    """
    with ExitStack() as stack:
        packed = stack.enter_context(archive.open("rb"))
        compressed = packed.read(2) == GZIP
        packed.seek(0)
        spool = stack.enter_context(TemporaryFile()) if compressed else None
        stream = Unpacked(archive, packed, archive.stat().st_size) if compressed else packed
        try:
            opened = stack.enter_context(
                tarfile.open(  # type: ignore[call-overload]
                    fileobj=stream, mode="r|" if compressed else "r:", tarinfo=TarHeader
                )
            )
            files = _listed(archive, opened, packed, spool)
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise RefusedError(f"{archive}: not a whole tar ({error}); copy or download it again") from None
        yield files


def first_names(archive: Path) -> Iterator[str]:
    """Names of a tar's members, one by one, as far as they can be read."""
    with archive.open("rb") as packed:
        mode: Literal["r:gz", "r:"] = "r:gz" if packed.read(2) == GZIP else "r:"
    with suppress(*_DAMAGE), tarfile.open(archive, mode, tarinfo=TarHeader) as opened:
        for info in opened:
            yield info.name


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar or tar.gz with a member does."""
    return any(True for _ in first_names(path))


def _listed(archive: Path, opened: tarfile.TarFile, packed: BinaryIO, spool: IO[bytes] | None) -> Files:
    files = Files([], [])
    names = Names(archive)
    unpacked = 0
    for info in opened:
        check(archive, info, names)
        unpacked += info.size
        check_size(archive, archive.stat().st_size, unpacked)
        if info.isdir():
            files.folders.append(info.name)
        elif spool is None:
            files.members.append(
                Member(info.name, info.size, partial(_piece, packed.fileno(), info.offset_data, info.size))
            )
        else:
            start = spool.tell()
            _copy(opened, info, spool)
            files.members.append(Member(info.name, info.size, partial(_piece, spool.fileno(), start, info.size)))
    if spool is not None:
        spool.flush()
    return files


def check(archive: Path, info: tarfile.TarInfo, names: Names) -> None:
    """Refuses a member that is neither a file nor a folder, or whose name or size cannot be.

    Raises:
        RefusedError: A link, a device, a sparse file, a hostile name.
        tarfile.ReadError: A negative size.
    """
    if info.size < 0:
        raise tarfile.ReadError(f"a header claims {info.size:,} bytes")
    names.check(info.name, folder=info.isdir())
    if not (info.isdir() or (info.isreg() and not info.issparse())):
        what = "a link" if info.issym() or info.islnk() else "neither a file nor a folder"
        raise RefusedError(f"{archive}: the member {info.name!r} is {what}; make the archive anew without it")


def _copy(opened: tarfile.TarFile, info: tarfile.TarInfo, spool: IO[bytes]) -> None:
    member = opened.extractfile(info)
    assert member is not None
    while piece := member.read(_PIECE):
        spool.write(piece)


def _piece(descriptor: int, start: int, size: int) -> BytesIO:
    """Reads without moving a shared position, so that threads do not disturb one another."""
    return BytesIO(os.pread(descriptor, size, start))
