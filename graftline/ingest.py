"""All samples of raw data to one array on disk: every core decodes, memory stays flat."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from graftline import events
from graftline.dataset import Dropped, sample_digest
from graftline.decode import UnreadableError, header, pixels
from graftline.formats.raw import Sample

SMALL = 64
"""Images up to this side keep their own size where all agree."""
USUAL = 224
_CHUNK = 32


class Rows:
    """Images of one shape in an unnamed file, written and read row by row, so that they never fill memory."""

    def __init__(self, file: IO[bytes], shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._file = file
        self._size = int(np.prod(shape))

    def put(self, row: int, image: NDArray[np.uint8]) -> None:
        """Writes one image (C, H, W); from any thread."""
        os.pwrite(self._file.fileno(), np.ascontiguousarray(image).data, row * self._size)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Reads images (len(rows), C, H, W)."""
        found = np.empty((len(rows), *self.shape), np.uint8)
        for position, row in enumerate(rows.tolist()):
            os.preadv(self._file.fileno(), [found[position].reshape(-1)], row * self._size)
        return found


@dataclass(frozen=True)
class Decoded:
    """The pixels of all samples that could be read."""

    images: Rows
    """A row a sample; rows of unreadable samples mean nothing."""
    digests: list[str]
    """Sample digests; empty for what could not be read."""
    dropped: list[Dropped]


def sample_shape(samples: Sequence[Sample], size: int | None, side: tuple[int, int] | None) -> tuple[int, int, int]:
    """Decides what samples are stored as, from their headers; stops at the first that settle it.

    Args:
        samples: All of them.
        size: Side in pixels that was asked for.
        side: (H, W) that they must have, the target's; goes before `size`.

    Returns:
        (C, H, W): C is 1 where all are grey, else 3; H and W are given, else the images' own where all agree and are at
        most 64, else 224.
    """
    wanted = side or ((size, size) if size else None)
    own: tuple[int, int] | None = None
    colour, differ = False, False
    for sample in samples:
        try:
            found = header(sample.load())
        except UnreadableError:
            continue
        own = own or (found.height, found.width)
        differ = differ or own != (found.height, found.width) or max(own) > SMALL
        colour = colour or not found.grey
        if colour and (differ or wanted):
            break
    height, width = wanted or ((USUAL, USUAL) if differ or own is None else own)
    return (3 if colour else 1, height, width)


def decode_all(samples: Sequence[Sample], images: Rows) -> Decoded:
    """Decodes every sample into its row.

    Args:
        samples: Still loadable.
        images: Written to.
    """
    digests = [""] * len(samples)
    dropped: list[Dropped] = []

    def one(index: int) -> Dropped | None:
        sample = samples[index]
        try:
            image = pixels(sample.load(), images.shape)
        except UnreadableError as error:
            return Dropped(file=sample.key, why=str(error))
        except OSError as error:
            return Dropped(file=sample.key, why=f"cannot be read: {error}")
        images.put(index, image)
        digests[index] = sample_digest(image)
        return None

    def chunk(start: int) -> list[Dropped]:
        return [fault for index in range(start, min(start + _CHUNK, len(samples))) if (fault := one(index))]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, faults in enumerate(pool.map(chunk, range(0, len(samples), _CHUNK)), start=1):
            dropped += faults
            events.progress(min(number * _CHUNK, len(samples)), len(samples), "decoding")
    return Decoded(images, digests, dropped)
