"""Labelled images by index, a batch as one copy out of memory-mapped files, and the seeded order of batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from graftline.data.dataset import Split

Indices = NDArray[np.int64]


class Samples:
    """Some rows of one or more splits, as one set of labelled images.

    Attributes:
        pool: The splits that lie behind, shared by all subsets.
        rows: (N,) into the splits joined in order.
        labels: (N,) class indices, int64; for regression float32 (N, D), for multilabel float32 (N, K) of 0 and 1.
    """

    def __init__(self, pool: Sequence[Split], rows: Indices | None = None) -> None:
        self.pool = tuple(pool)
        every = np.concatenate([np.asarray(split.labels) for split in self.pool])
        every = every.astype(np.float32 if every.ndim == 2 else np.int64, copy=False)
        self.rows: Indices = np.arange(len(every)) if rows is None else np.asarray(rows, dtype=np.int64)
        self.labels: NDArray[Any] = every[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, places: Indices) -> "Samples":
        """Returns the samples at some places of this one."""
        return Samples(self.pool, self.rows[places])

    def whole(self) -> "Samples":
        """Returns everything in the pool."""
        return Samples(self.pool)

    def images(self, places: Indices) -> Tensor:
        """Copies a batch out of the files.

        Args:
            places: (B,) into this set.

        Returns:
            uint8 (B, C, H, W).
        """
        rows = self.rows[places]
        first = self.pool[0].images
        if len(self.pool) == 1:
            return torch.from_numpy(np.ascontiguousarray(first[rows]))
        batch = np.empty((len(rows), *first.shape[1:]), dtype=np.uint8)
        start = 0
        for split in self.pool:
            here = (rows >= start) & (rows < start + len(split))
            if here.any():
                batch[here] = split.images[rows[here] - start]
            start += len(split)
        return torch.from_numpy(batch)

    @property
    def image_bytes(self) -> int:
        """Of one stored image."""
        return int(np.prod(self.pool[0].images.shape[1:]))

    def targets(self, places: Indices) -> Tensor:
        """Returns the labels of a batch: int64 (B,), or float32 (B, D) or (B, K)."""
        return torch.from_numpy(self.labels[places])


def cut(count: int, size: int) -> list[tuple[int, int]]:
    """Cuts `count` images into batches.

    Args:
        count: Images.
        size: Images a batch, at most.

    Returns:
        Bounds of each batch. A last batch of one joins the one before: batch norm has no statistics of one image.
    """
    bounds = [(low, min(low + size, count)) for low in range(0, count, size)]
    if len(bounds) > 1 and size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


def shuffled(count: int, size: int, generator: Generator) -> Iterator[Indices]:
    """Yields one pass over `count` images in random order, batch by batch.

    Args:
        count: Images.
        size: Images a batch, at most.
        generator: Draws the order.
    """
    order = torch.randperm(count, generator=generator).numpy()
    for low, high in cut(count, size):
        yield order[low:high]


def in_order(count: int, size: int) -> Iterator[Indices]:
    """Yields one pass over `count` images as they stand, batch by batch."""
    for low in range(0, count, size):
        yield np.arange(low, min(low + size, count))
