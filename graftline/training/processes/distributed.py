"""Training one network in several processes, each with its share of every batch (`torchrun`, or one per GPU).

All processes hold the same weights, draw the same order and augmentation, and sum their gradients explicitly. torch's
DistributedDataParallel is not used: it computes the mean over processes, which differs from the mean over images if
shares are uneven; it requires one forward call through its wrapper, which losses on features do not make; and it needs
extra handling for micro-batches. A sum of weighted shares is exact, including penalties and micro-batches.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from graftline.models import devices
from graftline.runtime.errors import RefusedError
from graftline.training.batches.samples import batch_bounds
from graftline.training.processes import ranks
from graftline.training.resume.saves import StateStore, TrainingState

TIMEOUT = timedelta(minutes=30)
"""Time to wait for the slowest process, which may be writing a checkpoint."""


@contextmanager
def process_group() -> Iterator[None]:
    """Initializes the process group inside the context; does nothing in a single process."""
    if not ranks.is_distributed() or dist.is_initialized():
        yield
        return
    device = devices.pick()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    on_gpus = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=TIMEOUT, device_id=device if on_gpus else None)
    yield
    dist.destroy_process_group()  # not after an error: NCCL would deadlock


def world_size() -> int:
    """Returns the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def batch_share(images: int) -> tuple[int, int, float]:
    """Returns this process's share of a batch.

    Args:
        images: Number of images in the batch.

    Returns:
        Start, end, and the weight of the share's mean in the mean of the batch. If there are fewer than two images per
        process, each process takes the entire batch: batch norm cannot compute statistics of one image.
    """
    processes = world_size()
    if processes == 1 or images < 2 * processes:
        return 0, images, 1 / processes
    rank = dist.get_rank()
    low, high = images * rank // processes, images * (rank + 1) // processes
    return low, high, (high - low) / images


def has_sync_batch_norm(network: nn.Module) -> bool:
    """Whether a forward pass waits for other processes, in synchronized batch norm."""
    return world_size() > 1 and any(isinstance(part, nn.SyncBatchNorm) and part.training for part in network.modules())


def share_bounds(images: int, micro_batch: int | None, network: nn.Module) -> list[tuple[int, int]]:
    """Splits this process's share of a batch into micro-batches; their number is equal in all processes if they sync.

    Args:
        images: Number of images in the batch.
        micro_batch: Images per micro-batch; None: all.
        network: Its synchronized batch norm requires equal numbers of micro-batches.

    Returns:
        Start and end of each micro-batch, relative to the share.
    """
    first, end, _ = batch_share(images)
    own = end - first
    if not has_sync_batch_norm(network):
        return batch_bounds(own, micro_batch or own)
    largest = images if images < 2 * world_size() else -(-images // world_size())
    parts = -(-largest // max(2, micro_batch or largest))
    return [(own * part // parts, own * (part + 1) // parts) for part in range(parts)]


def broadcast(value: Any) -> Any:
    """Returns the main process's value, a JSON value, in all processes."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def shared_download_folder() -> Iterator[Path]:
    """Yields a download folder shared by all processes; the main process runs the context first, then the others.

    The others therefore use the files that it downloaded.
    """
    with TemporaryDirectory(prefix="graftline-downloads-") as own:
        shared = Path(broadcast(own))
        if not ranks.is_main_process():
            _barrier()
        yield shared
        if ranks.is_main_process():
            _barrier()
        _barrier()  # the folder is removed when no process reads it


def _barrier() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier()


class _SharedStore:
    """States that the main process reads and writes, and all processes restore."""

    def __init__(self, store: StateStore | None) -> None:
        self._store = store

    def newest(self) -> TrainingState | None:
        """Returns the newest state of the main process's store."""
        state: TrainingState | None = broadcast(self._store.newest() if self._store is not None else None)
        return state

    def write(self, state: TrainingState) -> None:
        """Writes the state in the main process."""
        if self._store is not None:
            self._store.write(state)

    def close(self) -> None:
        """Closes the main process's store."""
        if self._store is not None:
            self._store.close()


def shared_store(open_store: Callable[[], StateStore]) -> StateStore:
    """Returns a store for states that all processes share; only the main process opens it."""
    if world_size() == 1:
        return open_store()
    return _SharedStore(open_store() if ranks.is_main_process() else None)


def sum_gradients(
    weights: Sequence[nn.Parameter], network: nn.Module, losses: Tensor | None, share: float, device: torch.device
) -> Tensor | None:
    """Sums gradients and losses over processes, and averages running statistics.

    Args:
        weights: Trained weights; their gradients become the sums.
        network: Its running statistics become the weighted mean over processes.
        losses: (2,), this process's share of the losses; None if it ran out of memory.
        share: Weight of this process's images.
        device: Device of the weights.

    Returns:
        (2,), the summed losses; None if any process failed, in which case nothing changes.
    """
    statistics = _statistics(network)
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    own = torch.zeros(3, device=device) if losses is None else torch.cat([losses, torch.ones(1, device=device)])
    flat = torch.cat([own, *(g.reshape(-1) for g in gradients), *(share * s.reshape(-1) for s in statistics)])
    if losses is None:
        flat.zero_()
    dist.all_reduce(flat)
    if round(float(flat[2])) < world_size():
        return None
    offset = 3
    for weight, gradient in zip(weights, gradients, strict=True):
        if weight.grad is not None:
            weight.grad.copy_(flat[offset : offset + gradient.numel()].view(gradient.shape))
        offset += gradient.numel()
    for buffer in statistics:
        buffer.copy_(flat[offset : offset + buffer.numel()].view(buffer.shape))
        offset += buffer.numel()
    return flat[:2].clone()


@contextmanager
def per_process_random_state(device: torch.device) -> Iterator[None]:
    """Gives each process its own random state inside the context; afterwards all states are equal again."""
    if world_size() == 1:
        yield
        return
    seed = int(torch.randint(2**62, (1,)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed + dist.get_rank())
        yield


def convert_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Replaces batch norm with synchronized batch norm on GPUs; on CPUs each process normalizes its share.

    Weights remain the same objects, and the layers' names and state do not change.
    """
    if world_size() > 1 and device.type == "cuda":
        for parent in list(network.modules()):
            for name, part in list(parent.named_children()):
                if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d):
                    setattr(parent, name, _to_sync_batch_norm(part))
    return network


def _to_sync_batch_norm(part: nn.Module) -> nn.Module:
    made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(part)  # type: ignore[no-untyped-call]
    made._forward_hooks = part._forward_hooks  # such as those of the `delta` strategy
    return made


def _statistics(network: nn.Module) -> list[Tensor]:
    return [
        buffer
        for part in network.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
        and part.training
        and not isinstance(part, nn.SyncBatchNorm)
        for buffer in (part.running_mean, part.running_var)
        if buffer is not None
    ]


def num_processes(requested: int | None) -> int:
    """Returns the number of processes for training on this machine: as requested, else one per visible GPU.

    Raises:
        RefusedError: There are fewer GPUs than requested processes.
    """
    if ranks.is_distributed() or os.environ.get("WORLD_SIZE"):
        return 1  # started by torchrun
    available = torch.cuda.device_count()
    if available and requested and requested > available:
        raise RefusedError(
            f"training.processes: {requested}, but {available} GPUs are visible; expected at most one process per GPU"
        )
    return requested or max(1, available)
