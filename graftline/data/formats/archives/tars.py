"""Members of a tar or tar.gz, checked one by one and read in place; a tar.gz is unpacked to an unnamed file."""

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

from graftline.data.formats.archives.members import FileTree, Member, MemberNameChecker, check_unpacked_size
from graftline.runtime.errors import RefusedError

GZIP = b"\x1f\x8b"
"""First bytes of a gzip file."""
_CHUNK = 2**20
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_MAX_HEADER = 2**20
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, UnicodeError)


class GzipStream:
    """Decompressed content of a gzip file, limited to the size that `check_unpacked_size` allows."""

    def __init__(self, archive: Path, packed: BinaryIO, size: int) -> None:
        self._archive = archive
        self._packed = size
        self._stream = gzip.GzipFile(fileobj=packed, mode="rb")
        self._total = 0

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes.

        Raises:
            RefusedError: The file is damaged or unpacks to too many bytes.
        """
        chunks = []
        while size > 0:
            try:
                chunk = self._stream.read(min(size, _CHUNK))
            except (OSError, EOFError, zlib.error) as error:
                raise RefusedError(f"{self._archive}: damaged ({error}); copy or download it again") from None
            if not chunk:
                break
            self._total += len(chunk)
            check_unpacked_size(self._archive, self._packed, self._total)
            size -= len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)


class TarHeader(tarfile.TarInfo):
    """Tar header that raises on damage; tarfile itself silently treats a damaged header as the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parses one header block; raises tarfile.ReadError if it is damaged or missing."""
        if not buf:
            raise tarfile.ReadError("no end marker, so the file is truncated")
        try:
            info = super().frombuf(buf, encoding, errors)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"bad header: {error}") from None
        if info.size < 0 or (info.type in _EXTENDED_HEADERS and info.size > _MAX_HEADER):
            raise tarfile.ReadError(f"a header declares {info.size:,} bytes")
        return info


@contextmanager
def open_tar(archive: Path) -> Iterator[FileTree]:
    """Opens a tar or tar.gz.

    Raises:
        RefusedError: The archive is damaged or has an unsafe member.
    """
    with ExitStack() as stack:
        packed = stack.enter_context(archive.open("rb"))
        is_compressed = packed.read(2) == GZIP
        packed.seek(0)
        unpacked = stack.enter_context(TemporaryFile()) if is_compressed else None
        stream = GzipStream(archive, packed, archive.stat().st_size) if is_compressed else packed
        try:
            tar = stack.enter_context(
                tarfile.open(  # type: ignore[call-overload]
                    fileobj=stream, mode="r|" if is_compressed else "r:", tarinfo=TarHeader
                )
            )
            tree = _list_members(archive, tar, packed, unpacked)
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise RefusedError(f"{archive}: incomplete or damaged tar ({error}); copy or download it again") from None
        yield tree


def iter_names(archive: Path) -> Iterator[str]:
    """Yields the names of a tar's members as far as they can be read."""
    with archive.open("rb") as packed:
        mode: Literal["r:gz", "r:"] = "r:gz" if packed.read(2) == GZIP else "r:"
    with suppress(*_DAMAGE), tarfile.open(archive, mode, tarinfo=TarHeader) as tar:
        for info in tar:
            yield info.name


def is_tar(path: Path) -> bool:
    """Returns whether a file is a tar or tar.gz with at least one readable member."""
    return any(True for _ in iter_names(path))


def _list_members(archive: Path, tar: tarfile.TarFile, packed: BinaryIO, unpacked: IO[bytes] | None) -> FileTree:
    tree = FileTree([], [])
    checker = MemberNameChecker(archive)
    num_bytes = 0
    for info in tar:
        check_member(archive, info, checker)
        num_bytes += info.size
        check_unpacked_size(archive, archive.stat().st_size, num_bytes)
        if info.isdir():
            tree.folders.append(info.name)
        elif unpacked is None:
            tree.members.append(
                Member(info.name, info.size, partial(read_range, packed.fileno(), info.offset_data, info.size))
            )
        else:
            start = unpacked.tell()
            _copy(tar, info, unpacked)
            tree.members.append(Member(info.name, info.size, partial(read_range, unpacked.fileno(), start, info.size)))
    if unpacked is not None:
        unpacked.flush()
    return tree


def check_member(archive: Path, info: tarfile.TarInfo, checker: MemberNameChecker) -> None:
    """Refuses a member that is neither a file nor a folder, or that has an unsafe name.

    Raises:
        RefusedError: The member is a link, a device or a sparse file, or its name is unsafe.
        tarfile.ReadError: The size is negative.
    """
    if info.size < 0:
        raise tarfile.ReadError(f"a header declares {info.size:,} bytes")
    checker.check(info.name, is_folder=info.isdir())
    if not (info.isdir() or (info.isreg() and not info.issparse())):
        entry_type = "a link" if info.issym() or info.islnk() else "neither a file nor a folder"
        raise RefusedError(f"{archive}: the member {info.name!r} is {entry_type}; create the archive again without it")


def _copy(tar: tarfile.TarFile, info: tarfile.TarInfo, destination: IO[bytes]) -> None:
    member = tar.extractfile(info)
    assert member is not None
    while chunk := member.read(_CHUNK):
        destination.write(chunk)


def read_range(descriptor: int, start: int, size: int) -> BytesIO:
    """Reads a range of an open file without moving its shared position, so it is thread-safe."""
    return BytesIO(os.pread(descriptor, size, start))
