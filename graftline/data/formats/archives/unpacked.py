"""Compressed numbers to an unnamed file on disk, so that memory stays flat and a lying header allocates nothing."""

from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import GZIP, Unpacked
from graftline.runtime.errors import RefusedError

_PIECE = 2**20


def content(place: Path, member: Member, raw: BinaryIO) -> BinaryIO | Unpacked:
    """A member's bytes from the start, unpacked where they begin as a gzip does."""
    compressed = raw.read(2) == GZIP
    raw.seek(0)
    return Unpacked(place / member.name, raw, member.size) if compressed else raw


def mapped(stream: BinaryIO | Unpacked, size: int, what: str) -> tuple[NDArray[np.uint8], IO[bytes]]:
    """Copies the rest of a stream to disk and maps it.

    Args:
        stream: Stands after its header.
        size: Bytes that the header promised.
        what: The file and its promise, for the message.

    Returns:
        (size,) uint8, and the file to close when it is no longer read.

    Raises:
        RefusedError: The stream holds less or more.
    """
    spool = TemporaryFile()  # noqa: SIM115 - the caller closes it when nothing maps it any more
    got = 0
    while got <= size and (piece := stream.read(min(_PIECE, size + 1 - got))):
        spool.write(piece)
        got += len(piece)
    if got != size:
        spool.close()
        found = f"{got:,}" if got < size else "more"
        raise RefusedError(f"{what}, which takes {size:,} bytes; found {found}; copy or download it again")
    spool.flush()
    return (np.asarray(np.memmap(spool, np.uint8, mode="r", shape=(size,))) if size else np.empty(0, np.uint8)), spool
