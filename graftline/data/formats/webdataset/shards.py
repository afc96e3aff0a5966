"""Members of one WebDataset shard, checked as any tar's are; of images only their place in a file is held.

A plain shard is opened for each image anew, so that a thousand shards need no thousand open files; images of a
compressed one are copied to an unnamed spool that all shards share.
"""

import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO

from graftline.data.formats.archives.members import Names, check_size
from graftline.data.formats.archives.tars import GZIP, TarHeader, Unpacked, check
from graftline.runtime.errors import RefusedError

_PIECE = 2**20
_DAMAGE = (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error)


@dataclass(frozen=True, slots=True)
class ShardMember:
    """A member that the walk stands at; what is wanted of it must be asked for before the next one."""

    name: str
    size: int
    _opened: tarfile.TarFile
    _info: tarfile.TarInfo
    _shard: Path
    _spool: IO[bytes] | None

    def read(self) -> bytes:
        """All of its bytes."""
        return b"".join(self._pieces())

    def keep(self) -> Callable[[], BinaryIO]:
        """Gives what opens it later, from any thread."""
        if self._spool is None:
            return partial(_from_shard, self._shard, self._info.offset_data, self.size)
        start = self._spool.tell()
        for piece in self._pieces():
            self._spool.write(piece)
        return partial(_from_spool, self._spool.fileno(), start, self.size)

    def _pieces(self) -> Iterator[bytes]:
        with _refusing(self._shard):
            member = self._opened.extractfile(self._info)
            assert member is not None
            while piece := member.read(_PIECE):
                yield piece


def entries(shard: Path, spool: IO[bytes]) -> Iterator[ShardMember]:
    """Walks through the files of a tar or tar.gz.

    Args:
        shard: The tar.
        spool: Takes what is kept of a compressed one; flush it before anything is opened.

    Raises:
        RefusedError: Damaged, or with a hostile member.
    """
    size = shard.stat().st_size
    with shard.open("rb") as packed:
        compressed = packed.read(len(GZIP)) == GZIP
        packed.seek(0)
        stream = Unpacked(shard, packed, size) if compressed else packed
        with (
            _refusing(shard),
            tarfile.open(  # type: ignore[call-overload]
                fileobj=stream, mode="r|" if compressed else "r:", tarinfo=TarHeader
            ) as opened,
        ):
            for info in _checked(shard, size, opened):
                yield ShardMember(info.name, info.size, opened, info, shard, spool if compressed else None)


@contextmanager
def _refusing(shard: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise RefusedError(f"{shard}: not a whole tar ({error}); copy or download it again") from None


def _checked(shard: Path, packed: int, opened: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    names = Names(shard)
    unpacked = 0
    for info in opened:
        check(shard, info, names)
        if info.size < 0:
            raise tarfile.ReadError(f"a header claims {info.size:,} bytes")
        unpacked += info.size
        check_size(shard, packed, unpacked)
        if not info.isdir():
            yield info
        opened.members.clear()  # type: ignore[attr-defined]  # else tarfile remembers every header


def _from_shard(shard: Path, start: int, size: int) -> BytesIO:
    with shard.open("rb") as file:
        file.seek(start)
        return BytesIO(file.read(size))


def _from_spool(descriptor: int, start: int, size: int) -> BytesIO:
    """Reads without moving a shared position, so that threads do not disturb one another."""
    return BytesIO(os.pread(descriptor, size, start))
