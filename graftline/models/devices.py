"""Where a training runs, how many threads it takes, which memory layout, which random numbers."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from graftline.models.input_contract import InputContract

TINY = (32 * 32, 2_000_000)
"""Pixels and weights up to which one thread is as fast as many, and far faster when two steps share the cores."""
TINY_PRODUCT = 20_000_000
"""The same for products of matrices, in multiplications."""
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
OUT_OF_MEMORY = (
    "can't allocate memory",
    "bad_alloc",
    "CUDA error: out of memory",
    "CUDNN_STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)


def pick() -> torch.device:
    """Returns this process's GPU where there is one, else the CPU; makes a GPU's convolutions and RNNs repeatable."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first product; cuDNN's RNNs need it
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def settle_threads(network: nn.Module, contract: InputContract) -> None:
    """Sets torch's threads for this process: one for a tiny network, else torch's own choice.

    OMP_NUM_THREADS, where it is set, is left to decide.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return
    if is_tiny(network, contract):
        torch.set_num_threads(1)


@contextmanager
def threads_for(multiplications: int) -> Iterator[None]:
    """Takes one thread inside for small products of matrices, torch's setting for large ones."""
    before = torch.get_num_threads()
    if multiplications <= TINY_PRODUCT:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Draws from torch's global generators inside by `seed` and `purpose`, leaves them as they were.

    Args:
        seed: Of the run.
        purpose: Such as `weights`. Without it a target's new head would begin as the source's head once did, which
            its backbone still remembers: one seed would look better than all others.
    """
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    device = pick()  # by itself `fork_rng` takes every GPU of the machine, and warns
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int.from_bytes(digest[:7], "big"))
        yield


def random_state(device: torch.device) -> list[Tensor]:
    """Returns the state of torch's global generators: the CPU's and, where `device` is a GPU, that one's."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def set_random_state(device: torch.device, states: list[Tensor]) -> None:
    """Puts back what `random_state` returned."""
    torch.set_rng_state(states[0].cpu())
    for state in states[1:] if device.type == "cuda" else []:
        torch.cuda.set_rng_state(state.cpu(), device)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Returns a tensor of the CPU on a device; a plain `to` would wait for all that a GPU has still to do."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def place(network: nn.Module, device: torch.device) -> None:
    """Moves a network to its device, in place, convolutions in channels-last layout: 1.2 to 1.5x on CPUs."""
    network.to(device)
    lay_out(network, "channels_last")


def lay_out(network: nn.Module, layout: str) -> None:
    """Puts a network's convolutions into a memory layout, `channels_last` or `contiguous`; values stay as they are."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            part.to(memory_format=LAYOUTS[layout])


def as_input(images: Tensor, layout: str = "channels_last") -> Tensor:
    """Returns a batch (B, C, H, W) in a memory layout."""
    return images.contiguous(memory_format=LAYOUTS[layout])


def is_tiny(network: nn.Module, contract: InputContract) -> bool:
    """Whether a network is so small that how it is computed hardly matters."""
    pixels, weights = TINY
    return contract.height * contract.width <= pixels and sum(w.numel() for w in network.parameters()) <= weights


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the device or on the host (where torch says it with a RuntimeError)."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
