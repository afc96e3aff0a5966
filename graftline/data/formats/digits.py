"""Built in, so that a first run needs no download: handwritten digits, clean and as a worse scanner sees them."""

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

PLACES = ("builtin:digits/clean", "builtin:digits/scanned")
VERSION = 1
"""Counts up when the pixels change: their fingerprint."""
_SEED = 20261121
_SIDE = 16
_SHIFT = 2
_DIMMED = 0.4, 0.9
_NOISE = 45.0
_PER_CLASS = 5
_Half = tuple[NDArray[np.uint8], NDArray[np.int64]]


def clean_and_scanned() -> tuple[_Half, _Half]:
    """Makes both halves: images (N, 16, 16) and labels (N,), no sample in both."""
    from sklearn.datasets import load_digits  # takes a second, so only who asks for digits pays it

    eight, labels = load_digits(return_X_y=True)
    images = np.stack([_upscaled(image) for image in np.rint(eight.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)])
    generator = np.random.default_rng(_SEED)
    order = generator.permutation(len(labels))
    clean, scanned = np.array_split(order, 2)
    labels = labels.astype(np.int64)
    return (images[clean], labels[clean]), (_scan(images[scanned], generator), labels[scanned])


def _upscaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))


def _scan(images: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Shifts by up to 2 pixels, dims to 0.4 to 0.9, adds noise of 45 of 255."""
    padded = np.pad(images, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT)))
    shifts = generator.integers(0, 2 * _SHIFT + 1, (len(images), 2))
    moved = np.stack([image[y : y + _SIDE, x : x + _SIDE] for image, (y, x) in zip(padded, shifts, strict=True)])
    dimmed = moved * generator.uniform(*_DIMMED, (len(images), 1, 1))
    noisy = dimmed + generator.normal(0.0, _NOISE, images.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _splits(labels: NDArray[np.int64]) -> list[SplitName]:
    """Five a class to train on, five to choose by, the rest to test on."""
    splits: list[SplitName] = ["test"] * len(labels)
    for label in range(10):
        of_class = np.flatnonzero(labels == label)
        for index in of_class[:_PER_CLASS]:
            splits[index] = "train"
        for index in of_class[_PER_CLASS : 2 * _PER_CLASS]:
            splits[index] = "val"
    return splits


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    if place.uri not in PLACES:
        raise RefusedError(f"{place}: not built in; there are {' and '.join(PLACES)}")
    clean, scanned = clean_and_scanned()
    images, labels = clean if place.uri == PLACES[0] else scanned
    splits = [None] * len(labels) if place.uri == PLACES[0] else _splits(labels)
    yield RawDataset(
        [str(digit) for digit in range(10)],
        [
            RawSample(f"{place}#{index}", str(label), split, partial(images.__getitem__, (None, index)))
            for index, (label, split) in enumerate(zip(labels.tolist(), splits, strict=True))
        ],
    )


def _found(place: DataLocation) -> bool:
    return place.uri.startswith(BUILTIN)


FORMAT = Format("digits", "built in: builtin:digits/clean and builtin:digits/scanned", _found, _read)
