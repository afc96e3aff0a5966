"""Which memory layout and precision a training's steps are fastest in on this machine, found by a few of them.

A choice other than 32 bits in channels-last has to be clearly faster, and bfloat16's gradients have to point where
those of 32 bits do. What was found is kept in the cache folder, so that a machine chooses the same every time.
"""

import hashlib
import json
import math
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from graftline.config import Training
from graftline.models.devices import is_out_of_memory
from graftline.runtime import events
from graftline.runtime.cache_location import cache_home
from graftline.runtime.manifest import write_text
from graftline.training.processes import distributed, ranks

LEAST_STEPS = 100
"""A training with fewer does not pay for the search, which takes about ten."""
LEAST_IMAGES = 8
"""The search runs half of a batch, this many images at least: what it tries must not need more memory than training.
"""
CLEARLY = 1.15
"""Times faster than the usual setting that another one has to be."""
TIMED, SLOWER = 3, 1.2
"""Steps, of which the fastest counts; a setting that is slower by this factor in its first is given up."""
COSINE, RATIO, LOSS = 0.9, 0.1, 0.02
"""What bfloat16 has to keep to: the cosine of its gradient with that of 32 bits, over all trained weights, the ratio of
their norms, and the loss, relative. The gradients of two halves of a batch agree far less (a cosine of 0.1 to 0.7)."""
DROPPING = ("Dropout", "AlphaDropout", "FeatureAlphaDropout", "StochasticDepth", "DropPath", "StochasticNorm")
_FOLDER = "probe"
_in_this_process: dict[str, dict[str, str]] = {}


@dataclass(frozen=True)
class Setting:
    """How steps are computed."""

    layout: str = "channels_last"
    precision: str = "fp32"


ProbeStep = Callable[[Setting], Tensor]
"""Puts gradients of one and the same batch into the weights, and returns the loss."""


def settings(training: Training) -> list[Setting]:
    """Returns what is open by the config, the usual first."""
    layouts = ["channels_last", "contiguous"] if training.layout == "auto" else [training.layout]
    precisions = ["fp32", "bf16"] if training.precision == "auto" else [training.precision]
    return [Setting(layout, precision) for precision in precisions for layout in layouts]


def choose(
    network: nn.Module, trained: list[nn.Parameter], step: ProbeStep, among: list[Setting], *, inputs: Tensor
) -> Setting:
    """Returns the setting to train in: from the cache, else found and kept there.

    Weights, running statistics and random numbers are afterwards what they were; gradients are dropped. Where memory
    runs out, the usual setting is taken and nothing is kept; of several processes, all end.

    Args:
        network: As it will be trained, in training mode.
        trained: Its weights that are trained.
        step: Runs a batch.
        among: The usual setting first.
        inputs: The batch that `step` runs.
    """
    key = _key(network, trained, inputs, among)
    kept = distributed.agreed(_in_this_process.get(str(key)) or _read(key))
    if kept is not None and (setting := Setting(**kept)) in among:
        return setting
    before = {name: value.clone() for name, value in network.named_buffers()}
    cuda = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cuda):
            found, told = _search(network, trained, step, among)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or distributed.count() > 1:  # the others wait for this process's word
            raise
        return among[0]
    finally:
        with torch.no_grad():
            for name, value in network.named_buffers():
                value.copy_(before[name])
        _drop(trained)
    events.log(
        f"steps in {found.precision}, {found.layout}; seconds a step: "
        + ", ".join(f"{name} {seconds:.3g}" for name, seconds in told.items())
    )
    _in_this_process[str(key)] = asdict(found)
    if ranks.first():
        _write(key, found, told)
    return found


def _search(
    network: nn.Module, trained: list[nn.Parameter], step: ProbeStep, among: list[Setting]
) -> tuple[Setting, dict[str, float]]:
    reference = _gradients(network, trained, step, among[0])
    alike = {
        setting: distributed.agreed(agree(reference, _gradients(network, trained, step, setting)))  # warms it up
        for setting in among[1:]
    }
    del reference  # as large as the network
    times: dict[Setting, float] = {}
    for setting in among:
        if setting.precision == among[0].precision or alike[setting]:
            times[setting] = _seconds(trained, step, setting, best=min(times.values(), default=float("inf")))
    fastest = min(times, key=lambda setting: times[setting])
    told = {f"{setting.precision} {setting.layout}": seconds for setting, seconds in times.items()}
    return (fastest if times[among[0]] >= CLEARLY * times[fastest] else among[0]), told


Gradients = tuple[float, list[Tensor]]
"""A loss and its gradient, a part a weight."""


def agree(one: Gradients, other: Gradients) -> bool:
    """Whether two losses, each with its gradient, are the same within the bounds of this module."""
    (loss, gradient), (other_loss, found) = one, other
    norm, other_norm = math.sqrt(_product(gradient, gradient)), math.sqrt(_product(found, found))
    cosine = _product(gradient, found) / max(norm * other_norm, 1e-30)
    return (
        cosine >= COSINE
        and abs(other_norm / max(norm, 1e-30) - 1) <= RATIO
        and abs(other_loss - loss) <= LOSS * max(1.0, abs(loss))
    )


def _product(one: list[Tensor], other: list[Tensor]) -> float:
    return math.fsum(float(a.flatten() @ b.flatten()) for a, b in zip(one, other, strict=True))


def _gradients(network: nn.Module, trained: list[nn.Parameter], step: ProbeStep, setting: Setting) -> Gradients:
    _drop(trained)
    dropping = [part for part in network.modules() if part.training and type(part).__name__.startswith(DROPPING)]
    for part in dropping:  # what is dropped in one precision would be kept in the other
        part.eval()
    loss = float(step(setting))
    for part in dropping:
        part.train()
    return loss, [w.grad for w in trained if w.grad is not None]


def _seconds(trained: list[nn.Parameter], step: ProbeStep, setting: Setting, best: float = float("inf")) -> float:
    fastest = float("inf")
    for _ in range(TIMED):
        _drop(trained)
        began = perf_counter()
        float(step(setting))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        fastest = min(fastest, distributed.agreed(perf_counter() - began))
        if fastest > SLOWER * best:
            break
    return fastest


def _drop(trained: list[nn.Parameter]) -> None:
    for weight in trained:
        weight.grad = None


def _key(network: nn.Module, trained: list[nn.Parameter], inputs: Tensor, among: list[Setting]) -> dict[str, Any]:
    moving = {id(weight) for weight in trained}
    parts = [
        (
            type(part).__name__,
            repr(part) if not list(part.children()) else "",
            [(tuple(w.shape), id(w) in moving) for w in part.parameters(recurse=False)],
        )
        for part in network.modules()
    ]
    device = torch.cuda.get_device_name(inputs.device) if inputs.device.type == "cuda" else _processor()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "processes": distributed.count(),
        "torch": torch.__version__,
        "network": hashlib.sha256(repr(parts).encode()).hexdigest(),
        "inputs": list(inputs.shape),
        "among": [asdict(setting) for setting in among],
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


def _place(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_home() / _FOLDER / f"{digest[:32]}.json"


def _read(key: dict[str, Any]) -> dict[str, str] | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
        told = json.loads(_place(key).read_text(encoding="utf-8"))
        if told["key"] == key:
            return {name: str(told["chosen"][name]) for name in ("layout", "precision")}
    return None


def _write(key: dict[str, Any], found: Setting, told: dict[str, float]) -> None:
    """Keeps a choice; two steps that end at once write the one after the other, and the last stays."""
    with suppress(OSError, RuntimeError):  # a read-only home, or none: the next training looks again
        path = _place(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        mine = path.with_suffix(f".{os.getpid()}.tmp")
        write_text(mine, json.dumps({"key": key, "chosen": asdict(found), "seconds": told}, indent=1))
        mine.replace(path)
