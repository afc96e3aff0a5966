"""Reading the next batch's images in a thread while the network processes the current one."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from graftline.training.batches.samples import Indices, Samples

MIN_THREADED_BYTES = 2**20
"""Size of a batch in bytes from which reading it in another thread is faster on a CPU."""


class Prefetcher:
    """Reads batches in a background thread, into pinned memory if they are for a GPU. Draws no random numbers."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pending: dict[bytes, Future[Tensor]] = {}

    def start(self, train: Samples, indices: Indices) -> None:
        """Starts reading a batch that `get` returns later."""
        if len(indices) * train.image_bytes >= MIN_THREADED_BYTES or self._device.type != "cpu":
            self._pending[indices.tobytes()] = _thread().submit(self._read, train, indices)

    def get(self, train: Samples, indices: Indices) -> Tensor:
        """Returns the images of a batch on the device, uint8 (B, C, H, W)."""
        pending = self._pending.pop(indices.tobytes(), None)
        images = self._read(train, indices) if pending is None else pending.result()
        return images.to(self._device, non_blocking=True)

    def _read(self, train: Samples, indices: Indices) -> Tensor:
        images = train.images(indices)
        return images.pin_memory() if self._device.type == "cuda" else images


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "graftline-prefetch")
