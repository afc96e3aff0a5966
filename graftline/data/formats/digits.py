"""Built-in handwritten digits, clean and as a poor scanner would record them, so that a first run needs no download."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.data.dataset import SplitName
from graftline.data.formats.location import BUILTIN, DataLocation
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError

BUILTIN_URIS = ("builtin:digits/clean", "builtin:digits/scanned")
PIXELS_VERSION = 1
"""Increases whenever the pixels change; part of the fingerprint."""
_SEED = 20261121
_SIDE = 16
_MAX_SHIFT = 2
_BRIGHTNESS = 0.4, 0.9
_NOISE = 45.0
_PER_CLASS = 5
_LabeledImages = tuple[NDArray[np.uint8], NDArray[np.int64]]


def make_clean_and_scanned() -> tuple[_LabeledImages, _LabeledImages]:
    """Returns two disjoint halves of scikit-learn's digits, the second one degraded.

    Returns:
        For each half, images (N, 16, 16) and labels (N,).
    """
    from sklearn.datasets import load_digits  # takes a second to import, and only these data need it

    small, labels = load_digits(return_X_y=True)
    images = np.stack([_upscale(image) for image in np.rint(small.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)])
    generator = np.random.default_rng(_SEED)
    order = generator.permutation(len(labels))
    clean, scanned = np.array_split(order, 2)
    labels = labels.astype(np.int64)
    return (images[clean], labels[clean]), (degrade_scans(images[scanned], generator), labels[scanned])


def _upscale(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def degrade_scans(images: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Imitates a poor scanner: shift by up to 2 pixels, brightness factor 0.4 to 0.9, Gaussian noise of std 45.

    Args:
        images: (N, 16, 16).
        generator: Source of the random draws.

    Returns:
        (N, 16, 16) uint8.
    """
    padded = np.pad(images, ((0, 0), (_MAX_SHIFT, _MAX_SHIFT), (_MAX_SHIFT, _MAX_SHIFT)))
    shifts = generator.integers(0, 2 * _MAX_SHIFT + 1, (len(images), 2))
    moved = np.stack([image[y : y + _SIDE, x : x + _SIDE] for image, (y, x) in zip(padded, shifts, strict=True)])
    dimmed = moved * generator.uniform(*_BRIGHTNESS, (len(images), 1, 1))
    noisy = dimmed + generator.normal(0.0, _NOISE, images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _assign_splits(labels: NDArray[np.int64]) -> list[SplitName]:
    """Assigns the first five images of a class to train, the next five to val, the rest to test."""
    splits: list[SplitName] = ["test"] * len(labels)
    for label in range(10):
        indices = np.flatnonzero(labels == label)
        for index in indices[:_PER_CLASS]:
            splits[index] = "train"
        for index in indices[_PER_CLASS : 2 * _PER_CLASS]:
            splits[index] = "val"
    return splits


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    if location.uri not in BUILTIN_URIS:
        raise RefusedError(f"{location}: unknown built-in dataset; use {' or '.join(BUILTIN_URIS)}")
    clean, scanned = make_clean_and_scanned()
    is_clean = location.uri == BUILTIN_URIS[0]
    images, labels = clean if is_clean else scanned
    splits = [None] * len(labels) if is_clean else _assign_splits(labels)
    yield RawDataset(
        [str(digit) for digit in range(10)],
        [
            RawSample(f"{location}#{index}", str(label), split, partial(images.__getitem__, (None, index)))
            for index, (label, split) in enumerate(zip(labels.tolist(), splits, strict=True))
        ],
    )


def _detect(location: DataLocation) -> bool:
    return location.uri.startswith(BUILTIN)


FORMAT = Format("digits", "built-in data: builtin:digits/clean and builtin:digits/scanned", _detect, _open)
