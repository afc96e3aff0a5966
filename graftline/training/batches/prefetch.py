"""The next batch's images, read while the network still works on this one. Draws no random numbers."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from graftline.training.batches.samples import Indices, Samples

WORTH = 2**20
"""Bytes of a batch from which another thread is worth its while."""


class Prefetcher:
    """Reads batches that were announced in a thread of its own, into pinned memory where they go to a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._coming: dict[bytes, Future[Tensor]] = {}

    def announce(self, train: Samples, places: Indices) -> None:
        """Begins to read a batch that `take` will be asked for."""
        if len(places) * train.image_bytes >= WORTH or self._device.type != "cpu":
            self._coming[places.tobytes()] = _reader().submit(self._read, train, places)

    def take(self, train: Samples, places: Indices) -> Tensor:
        """Returns the images of a batch, uint8 (B, C, H, W), on the device."""
        coming = self._coming.pop(places.tobytes(), None)
        images = self._read(train, places) if coming is None else coming.result()
        return images.to(self._device, non_blocking=True)

    def _read(self, train: Samples, places: Indices) -> Tensor:
        images = train.images(places)
        return images.pin_memory() if self._device.type == "cuda" else images


@cache
def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "graftline-ahead")
