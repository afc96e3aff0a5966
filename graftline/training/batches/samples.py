"""Labeled images by index, and the seeded order of batches."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from graftline.data.dataset import Split

Indices = NDArray[np.int64]


class Samples:
    """A subset of the images of one or more splits, with their labels.

    Attributes:
        pool: The splits, shared by all subsets.
        indices: (N,) into the concatenated splits.
        labels: (N,) class indices, int64; for regression float32 (N, D), for multilabel float32 (N, K) of 0 and 1.
    """

    def __init__(self, pool: Sequence[Split], indices: Indices | None = None) -> None:
        self.pool = tuple(pool)
        labels = np.concatenate([np.asarray(split.labels) for split in self.pool])
        labels = labels.astype(np.float32 if labels.ndim == 2 else np.int64, copy=False)
        self.indices: Indices = np.arange(len(labels)) if indices is None else np.asarray(indices, dtype=np.int64)
        self.labels: NDArray[Any] = labels[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def subset(self, indices: Indices) -> "Samples":
        """Returns the samples at the given indices into these samples."""
        return Samples(self.pool, self.indices[indices])

    def all_samples(self) -> "Samples":
        """Returns all samples of the pool."""
        return Samples(self.pool)

    def images(self, indices: Indices) -> Tensor:
        """Copies a batch from the memory-mapped files.

        Args:
            indices: (B,) into these samples.

        Returns:
            uint8 (B, C, H, W).
        """
        rows = self.indices[indices]
        first = self.pool[0].images
        if len(self.pool) == 1:
            return torch.from_numpy(np.ascontiguousarray(first[rows]))
        batch = np.empty((len(rows), *first.shape[1:]), dtype=np.uint8)
        start = 0
        for split in self.pool:
            in_split = (rows >= start) & (rows < start + len(split))
            if in_split.any():
                batch[in_split] = split.images[rows[in_split] - start]
            start += len(split)
        return torch.from_numpy(batch)

    @property
    def image_bytes(self) -> int:
        """Size of one stored image in bytes."""
        return int(np.prod(self.pool[0].images.shape[1:]))

    def targets(self, indices: Indices) -> Tensor:
        """Returns the labels of a batch: int64 (B,), or float32 (B, D) or (B, K)."""
        return torch.from_numpy(self.labels[indices])


def batch_bounds(count: int, size: int) -> list[tuple[int, int]]:
    """Returns the start and end of each batch.

    Args:
        count: Number of images.
        size: Batch size.

    Returns:
        Bounds of each batch. A last batch of one image is merged into the one before: batch norm cannot compute
        statistics of one image.
    """
    bounds = [(low, min(low + size, count)) for low in range(0, count, size)]
    if len(bounds) > 1 and size > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


def shuffled_batches(count: int, size: int, generator: Generator) -> Iterator[Indices]:
    """Yields the indices of one epoch in random order, batch by batch.

    Args:
        count: Number of images.
        size: Batch size.
        generator: Draws the order.
    """
    order = torch.randperm(count, generator=generator).numpy()
    for low, high in batch_bounds(count, size):
        yield order[low:high]


def sequential_batches(count: int, size: int) -> Iterator[Indices]:
    """Yields the indices of `count` images in order, batch by batch."""
    for low in range(0, count, size):
        yield np.arange(low, min(low + size, count))
