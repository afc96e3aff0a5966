"""Thumbnails for the data page: samples and the mean image of each class, in bounded time and size."""

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

SAMPLES_PER_CLASS = 6
"""Samples shown per class."""
MAX_AVERAGED = 200
"""Largest number of training images of a class in its mean image."""

_SIDE = 96  # pixels at most
_SMALL_SIDE = 48  # up to this side, pixels are shown as squares and stored as PNG
_MAX_READ = 2000  # images read for all means together
_MAX_BYTES = 900_000  # of all thumbnails of classes together
_MAX_THUMBNAIL_BYTES = 10_000
_CHUNK_BYTES = 4 * 2**20  # pixels in memory at a time
_ATTEMPTS = ((_SIDE, 85), (_SIDE, 70), (_SIDE, 50), (_SIDE, 30), (_SIDE // 2, 30))  # side and JPEG quality


@dataclass(frozen=True)
class Thumbnail:
    """A small copy of an image."""

    uri: str
    """`data:` URI."""
    name: str
    """File name of the image."""
    is_small: bool
    """Whether its pixels are shown as squares."""


@dataclass(frozen=True)
class ClassThumbnails:
    """The mean image and some samples of a class."""

    mean: Thumbnail
    n_averaged: int
    """Number of images in the mean."""
    samples: list[Thumbnail]


def first_of_classes(
    samples: Iterable[StoredSample], labels: Sequence[str], label_type: LabelType = CLASS_INDEX
) -> dict[str, list[int]]:
    """Finds the first training images of each class; they are sorted by digest, so this is a reproducible random draw.

    Args:
        samples: All samples, in the order of the images.
        labels: Classes to find.
        label_type: Type of the samples' labels.

    Returns:
        Indices by class, at most `MAX_AVERAGED` each, fewer if there are many classes; classes without an image are
        omitted.
    """
    maximum = min(MAX_AVERAGED, _MAX_READ // max(1, len(labels)))
    indices: dict[str, list[int]] = {label: [] for label in labels}
    for index, sample in enumerate(samples):
        if sample.split == "train":
            for label in label_type.names_in(sample.label):
                if label in indices and len(indices[label]) < maximum:
                    indices[label].append(index)
    return {label: members for label, members in indices.items() if members}


def draw_classes(
    images: Images, samples: Sequence[StoredSample], indices: dict[str, list[int]]
) -> dict[str, ClassThumbnails]:
    """Draws the mean image and samples of each class.

    Args:
        images: (N, C, H, W).
        samples: N samples.
        indices: Result of `first_of_classes`.
    """
    n_thumbnails = sum(1 + min(SAMPLES_PER_CLASS, len(members)) for members in indices.values())
    max_bytes = _MAX_BYTES // max(1, n_thumbnails)
    return {
        label: ClassThumbnails(
            _thumbnail(_mean_image(images, members), f"mean of {label}", max_bytes),
            len(members),
            draw_images(images, samples, members[:SAMPLES_PER_CLASS], max_bytes),
        )
        for label, members in indices.items()
    }


def draw_images(
    images: Images, samples: Sequence[StoredSample], indices: Sequence[int], max_bytes: int = _MAX_THUMBNAIL_BYTES
) -> list[Thumbnail]:
    """Draws some images.

    Args:
        images: (N, C, H, W).
        samples: N samples.
        indices: Images to draw.
        max_bytes: Largest size of a thumbnail.
    """
    return [_thumbnail(np.asarray(images[index]), samples[index].key, max_bytes) for index in indices]


def _mean_image(images: Images, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Returns the mean (C, h, w) of images, subsampled if they are large because the thumbnail is small."""
    _, channels, height, width = images.shape
    step = max(1, min(height, width) // _SIDE)
    chunk = max(1, _CHUNK_BYTES // (channels * height * width))
    total = np.zeros((channels, -(-height // step), -(-width // step)), np.uint64)
    for start in range(0, len(indices), chunk):
        total += images[indices[start : start + chunk]][..., ::step, ::step].sum(0, dtype=np.uint64)
    return ((total + len(indices) // 2) // len(indices)).astype(np.uint8)


def _thumbnail(image: NDArray[np.uint8], name: str, max_bytes: int) -> Thumbnail:
    original = Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))
    is_small = max(original.size) <= _SMALL_SIDE
    encoded, kind = _encode(original, "PNG", optimize=True) if is_small else b"", "png"
    if not 0 < len(encoded) <= max_bytes:
        kind = "jpeg"
        for side, quality in _ATTEMPTS:
            copy = original.copy()
            copy.thumbnail((side, side))
            encoded = _encode(copy, "JPEG", quality=quality, optimize=True)
            if len(encoded) <= max_bytes:
                break
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}", name, is_small)


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
