"""Several processes that train one network together, each on its share of every batch (`torchrun`, or a GPU each).

All processes hold the same weights, draw the same order and the same augmentation, and add up their gradients by one
explicit sum. torch's DistributedDataParallel is not used: it takes the mean over processes, which is not the mean over
images where shares are uneven, wants one forward call through its wrapper, which losses that look at features don't
make, and has to be told of each part of a batch. Here a sum of shares is exact, penalties and parts included.
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
from graftline.training.batches.samples import cut
from graftline.training.processes import ranks
from graftline.training.resume.saves import StateStore, TrainingState

WAIT = timedelta(minutes=30)
"""For the slowest process, which may be writing a checkpoint."""


@contextmanager
def joined() -> Iterator[None]:
    """Inside, this process and those that were started with it form one group; alone it changes nothing."""
    if not ranks.several() or dist.is_initialized():
        yield
        return
    device = devices.pick()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    on_gpus = device.type == "cuda"
    dist.init_process_group("nccl" if on_gpus else "gloo", timeout=WAIT, device_id=device if on_gpus else None)
    yield
    dist.destroy_process_group()  # not after an error: nccl would wait for the others, who wait for this process


def count() -> int:
    """Returns how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(images: int) -> tuple[int, int, float]:
    """Returns this process's part of a batch.

    Args:
        images: In the batch.

    Returns:
        First and last bound, and the weight of its mean in that of the batch. Where there are not two images for each
        process, all of them take the whole batch: batch norm has no statistics of one image.
    """
    many = count()
    if many == 1 or images < 2 * many:
        return 0, images, 1 / many
    at = dist.get_rank()
    low, high = images * at // many, images * (at + 1) // many
    return low, high, (high - low) / images


def meets(network: nn.Module) -> bool:
    """Whether processes wait for each other inside of a pass through a network, in batch norm over all of them."""
    return count() > 1 and any(isinstance(part, nn.SyncBatchNorm) and part.training for part in network.modules())


def cuts(images: int, at_once: int | None, network: nn.Module) -> list[tuple[int, int]]:
    """Cuts this process's part of a batch; where processes meet inside of the network, into as many parts in each.

    Args:
        images: In the batch.
        at_once: Images a part; None: all.
        network: That they go through.

    Returns:
        Bounds, from 0.
    """
    first, end, _ = share(images)
    own = end - first
    if not meets(network):
        return cut(own, at_once or own)
    largest = images if images < 2 * count() else -(-images // count())
    parts = -(-largest // max(2, at_once or largest))
    return [(own * part // parts, own * (part + 1) // parts) for part in range(parts)]


def agreed(value: Any) -> Any:
    """Returns what the first process says: JSON that all have to act on alike."""
    if count() == 1:
        return value
    told = [value]
    dist.broadcast_object_list(told, src=0)
    return told[0]


@contextmanager
def fetched_once() -> Iterator[Path]:
    """Yields a folder for downloads that all processes share, and lets the first one inside alone, before the others.

    What it has fetched there, or to a cache of its own, the others find.
    """
    with TemporaryDirectory(prefix="graftline-downloads-") as own:
        shared = Path(agreed(own))
        if not ranks.first():
            _meet()
        yield shared
        if ranks.first():
            _meet()
        _meet()  # the folder goes when nobody reads it any more


def _meet() -> None:
    """Waits until all processes are here."""
    if count() > 1:
        dist.barrier()


class _OfAll:
    """States that the first process reads and writes, and all go on from."""

    def __init__(self, saves: StateStore | None) -> None:
        self._saves = saves

    def newest(self) -> TrainingState | None:
        """Returns what the first process found."""
        found: TrainingState | None = agreed(self._saves.newest() if self._saves is not None else None)
        return found

    def write(self, saved: TrainingState) -> None:
        """Writes in the first process."""
        if self._saves is not None:
            self._saves.write(saved)

    def close(self) -> None:
        """Closes what the first process has open."""
        if self._saves is not None:
            self._saves.close()


def of_all(open_saves: Callable[[], StateStore]) -> StateStore:
    """Returns a place for states that processes share: the first one opens it, the others are told what is there."""
    if count() == 1:
        return open_saves()
    return _OfAll(open_saves() if ranks.first() else None)


def add_up(
    weights: Sequence[nn.Parameter], network: nn.Module, told: Tensor | None, part: float, device: torch.device
) -> Tensor | None:
    """Sums gradients and losses over processes, and takes the mean of running statistics.

    Args:
        weights: Those that are trained; their gradients become the sums.
        network: Its running statistics become the processes' mean.
        told: (2,), this process's share of the losses; None where it failed.
        part: Weight of this process's images.
        device: Of the weights.

    Returns:
        (2,), the sums; None where any process failed: nothing is changed then.
    """
    moving = _statistics(network)
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    here = torch.zeros(3, device=device) if told is None else torch.cat([told, torch.ones(1, device=device)])
    flat = torch.cat([here, *(g.reshape(-1) for g in gradients), *(part * s.reshape(-1) for s in moving)])
    if told is None:
        flat.zero_()
    dist.all_reduce(flat)
    if round(float(flat[2])) < count():
        return None
    at = 3
    for weight, gradient in zip(weights, gradients, strict=True):
        if weight.grad is not None:
            weight.grad.copy_(flat[at : at + gradient.numel()].view(gradient.shape))
        at += gradient.numel()
    for each in moving:
        each.copy_(flat[at : at + each.numel()].view(each.shape))
        at += each.numel()
    return flat[:2].clone()


@contextmanager
def own_draws(device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators draw something else in each process; after it they are equal again."""
    if count() == 1:
        yield
        return
    seed = int(torch.randint(2**62, (1,)))
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed + dist.get_rank())
        yield


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """Lets batch norm see the whole batch, on GPUs; gloo has no such layer, so there each process normalises its own.

    Weights stay the same objects, and the layers' names and state are those of before.
    """
    if count() > 1 and device.type == "cuda":
        for parent in list(network.modules()):
            for name, part in list(parent.named_children()):
                if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d):
                    setattr(parent, name, _synchronised(part))
    return network


def _synchronised(part: nn.Module) -> nn.Module:
    made: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(part)  # type: ignore[no-untyped-call]
    made._forward_hooks = part._forward_hooks  # such as those by which `delta` reads maps
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


def processes(asked: int | None) -> int:
    """Returns how many processes a training on this machine takes: those asked for, else one a visible GPU.

    Raises:
        RefusedError: More are asked for than there are GPUs.
    """
    if ranks.several() or os.environ.get("WORLD_SIZE"):
        return 1  # they are there already
    there = torch.cuda.device_count()
    if there and asked and asked > there:
        raise RefusedError(f"training.processes: {asked}, and {there} GPUs are visible; give at most one a GPU")
    return asked or max(1, there)
