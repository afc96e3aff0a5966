"""A dataset's pictures for its page: some samples and the mean of each class, in bounded time and room."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.data.dataset import StoredSample
from graftline.data.images.stored_images import Images
from graftline.data.labels import CLASS_INDEX
from graftline.data.labels.label_type import LabelType

EACH = 6
"""Samples of a class."""
MEAN_OF = 200
"""Training images of a class whose mean is shown, at most."""

_SIDE = 96  # pixels at most
_SMALL = 48  # up to here pixels are shown as squares, and PNG keeps them so
_READ = 2000  # images read for all means together
_ROOM = 900_000  # bytes of all pictures together
_PIECE = 4 * 2**20  # bytes of pixels held at a time
_TRIES = ((_SIDE, 85), (_SIDE, 70), (_SIDE, 50), (_SIDE, 30), (_SIDE // 2, 30))  # side and JPEG quality


@dataclass(frozen=True)
class Picture:
    """A small picture."""

    uri: str
    """`data:` URI."""
    name: str
    """The file it came from."""
    small: bool
    """Whether its pixels are shown as squares."""


@dataclass(frozen=True)
class Gallery:
    """A class as pictures."""

    mean: Picture
    averaged: int
    """Images that the mean is of."""
    samples: list[Picture]


def first_rows(
    samples: Iterable[StoredSample], labels: Sequence[str], label_type: LabelType = CLASS_INDEX
) -> dict[str, list[int]]:
    """Finds each class's first training images: as they stand by digest, a random draw that stays the same.

    Args:
        samples: All, in the order of the images.
        labels: Classes that are wanted.
        label_type: Type of the samples' labels.

    Returns:
        Rows by label, at most `MEAN_OF` each, fewer where there are many classes; no label without an image.
    """
    most = min(MEAN_OF, _READ // max(1, len(labels)))
    rows: dict[str, list[int]] = {label: [] for label in labels}
    for row, sample in enumerate(samples):
        if sample.split == "train":
            for label in label_type.names_in(sample.label):
                if label in rows and len(rows[label]) < most:
                    rows[label].append(row)
    return {label: found for label, found in rows.items() if found}


def galleries(images: Images, samples: Sequence[StoredSample], rows: dict[str, list[int]]) -> dict[str, Gallery]:
    """Draws mean and samples of each class.

    Args:
        images: (N, C, H, W).
        samples: As the images.
        rows: From `first_rows`.
    """
    room = _ROOM // max(1, sum(1 + min(EACH, len(found)) for found in rows.values()))
    return {
        label: Gallery(
            _picture(_mean(images, found), f"mean of {label}", room),
            len(found),
            some(images, samples, found[:EACH], room),
        )
        for label, found in rows.items()
    }


def some(images: Images, samples: Sequence[StoredSample], rows: Sequence[int], room: int = 10_000) -> list[Picture]:
    """Draws some images.

    Args:
        images: (N, C, H, W).
        samples: As the images.
        rows: Which.
        room: Bytes of each at most.
    """
    return [_picture(np.asarray(images[row]), samples[row].key, room) for row in rows]


def _mean(images: Images, rows: Sequence[int]) -> NDArray[np.uint8]:
    """Mean (C, h, w) of images; of large ones every second, third, ... pixel, as it will be drawn small."""
    _, channels, height, width = images.shape
    step = max(1, min(height, width) // _SIDE)
    piece = max(1, _PIECE // (channels * height * width))
    total = np.zeros((channels, -(-height // step), -(-width // step)), np.uint64)
    for start in range(0, len(rows), piece):
        total += images[rows[start : start + piece]][..., ::step, ::step].sum(0, dtype=np.uint64)
    return ((total + len(rows) // 2) // len(rows)).astype(np.uint8)


def _picture(image: NDArray[np.uint8], name: str, room: int) -> Picture:
    whole = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    small = max(whole.size) <= _SMALL
    packed, kind = _packed(whole, "PNG", optimize=True) if small else b"", "png"
    if not 0 < len(packed) <= room:
        kind = "jpeg"
        for side, quality in _TRIES:
            copy = whole.copy()
            copy.thumbnail((side, side))
            packed = _packed(copy, "JPEG", quality=quality, optimize=True)
            if len(packed) <= room:
                break
    return Picture(f"data:image/{kind};base64,{base64.b64encode(packed).decode()}", name, small)


def _packed(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
