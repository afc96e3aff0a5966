"""Members of one WebDataset shard, with the same safety checks as any tar. Of an image only its position is kept.

An uncompressed shard is reopened for every image, so that a thousand shards do not need a thousand open files. Images
of a compressed shard are copied to one unnamed temporary file that all shards share.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO

from graftline.data.formats.archives.members import MemberNameChecker, check_unpacked_size
from graftline.data.formats.archives.tars import GZIP, GzipStream, TarHeader, check_member, read_range
from graftline.runtime.errors import RefusedError

_CHUNK = 2**20
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error)


@dataclass(frozen=True, slots=True)
class ShardMember:
    """Current member of the iteration. Call `read` or `keep` before advancing to the next member."""

    name: str
    size: int
    _tar: tarfile.TarFile
    _info: tarfile.TarInfo
    _shard: Path
    _unpacked: IO[bytes] | None

    def read(self) -> bytes:
        """Returns the content."""
        return b"".join(self._read_chunks())

    def keep(self) -> Callable[[], BinaryIO]:
        """Returns a thread-safe function that opens the content later."""
        if self._unpacked is None:
            return partial(_read_shard_range, self._shard, self._info.offset_data, self.size)
        start = self._unpacked.tell()
        for chunk in self._read_chunks():
            self._unpacked.write(chunk)
        return partial(read_range, self._unpacked.fileno(), start, self.size)

    def _read_chunks(self) -> Iterator[bytes]:
        with _refuse_damage(self._shard):
            member = self._tar.extractfile(self._info)
            assert member is not None
            while chunk := member.read(_CHUNK):
                yield chunk


def iter_members(shard: Path, unpacked: IO[bytes]) -> Iterator[ShardMember]:
    """Iterates over the files of a tar or tar.gz.

    Args:
        shard: The tar.
        unpacked: Receives the kept members of a compressed shard. Flush it before opening them.

    Raises:
        RefusedError: The shard is damaged or has an unsafe member.
    """
    size = shard.stat().st_size
    with shard.open("rb") as packed:
        is_compressed = packed.read(len(GZIP)) == GZIP
        packed.seek(0)
        stream = GzipStream(shard, packed, size) if is_compressed else packed
        with (
            _refuse_damage(shard),
            tarfile.open(  # type: ignore[call-overload]
                fileobj=stream, mode="r|" if is_compressed else "r:", tarinfo=TarHeader
            ) as tar,
        ):
            for info in _check_members(shard, size, tar):
                yield ShardMember(info.name, info.size, tar, info, shard, unpacked if is_compressed else None)


@contextmanager
def _refuse_damage(shard: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise RefusedError(f"{shard}: incomplete or damaged tar ({error}); copy or download it again") from None


def _check_members(shard: Path, packed: int, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    checker = MemberNameChecker(shard)
    num_bytes = 0
    for info in tar:
        check_member(shard, info, checker)
        num_bytes += info.size
        check_unpacked_size(shard, packed, num_bytes)
        if not info.isdir():
            yield info
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all headers otherwise


def _read_shard_range(shard: Path, start: int, size: int) -> BytesIO:
    with shard.open("rb") as file:
        file.seek(start)
        return BytesIO(file.read(size))
