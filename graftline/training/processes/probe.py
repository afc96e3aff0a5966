"""Choosing the fastest memory layout and precision for a training on this machine by timing a few steps.

A choice other than float32 in channels-last must be clearly faster, and the gradients in bfloat16 must agree with those
in float32. The result is saved in the cache folder, so that a machine always makes the same choice.
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

MIN_STEPS = 100
"""Number of training steps from which the probe, which takes about ten steps, is worthwhile."""
MIN_IMAGES = 8
"""Minimum number of images; the probe otherwise uses half a batch, so that it needs no more memory than training."""
MIN_SPEEDUP = 1.15
"""Speedup over the default setting that another setting needs."""
TIMED_STEPS, MAX_SLOWDOWN = 3, 1.2
"""Number of timed steps, of which the fastest counts; and the slowdown after which a setting is not timed further."""
MIN_COSINE, MAX_NORM_DIFFERENCE, MAX_LOSS_DIFFERENCE = 0.9, 0.1, 0.02
"""Bounds for bfloat16: the cosine of its gradient with that in float32 over all trained weights, the relative
difference of norms, and that of the loss. Gradients of two halves of a batch agree far less (cosine 0.1 to 0.7)."""
DROPOUT_TYPES = ("Dropout", "AlphaDropout", "FeatureAlphaDropout", "StochasticDepth", "DropPath", "StochasticNorm")
_FOLDER = "probe"
process_cache: dict[str, dict[str, str]] = {}
"""Choices made in this process, by key."""


@dataclass(frozen=True)
class ComputeSetting:
    """Memory layout and precision of training steps."""

    layout: str = "channels_last"
    precision: str = "fp32"


ProbeStep = Callable[[ComputeSetting], Tensor]
"""Computes the gradients of a fixed batch and returns the loss."""


def candidate_settings(training: Training) -> list[ComputeSetting]:
    """Returns the settings that the config allows, the default first."""
    layouts = ["channels_last", "contiguous"] if training.layout == "auto" else [training.layout]
    precisions = ["fp32", "bf16"] if training.precision == "auto" else [training.precision]
    return [ComputeSetting(layout, precision) for precision in precisions for layout in layouts]


def choose_setting(
    network: nn.Module,
    trained: list[nn.Parameter],
    step: ProbeStep,
    candidates: list[ComputeSetting],
    *,
    inputs: Tensor,
) -> ComputeSetting:
    """Returns the setting to train with, from the cache or by timing the candidates.

    Weights, running statistics and random states do not change; gradients are cleared. If memory runs out, the default
    setting is returned and not saved; with several processes, the error is raised.

    Args:
        network: Network in training mode.
        trained: Its trained weights.
        step: Computes the gradients of a batch.
        candidates: Settings to compare, the default first.
        inputs: The batch that `step` uses.
    """
    key = _key(network, trained, inputs, candidates)
    saved = distributed.broadcast(process_cache.get(str(key)) or _read(key))
    if saved is not None and (setting := ComputeSetting(**saved)) in candidates:
        return setting
    before = {name: value.clone() for name, value in network.named_buffers()}
    cuda = [inputs.device] if inputs.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(cuda):
            chosen, seconds = _time_candidates(network, trained, step, candidates)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or distributed.world_size() > 1:  # the other processes wait for this one
            raise
        return candidates[0]
    finally:
        with torch.no_grad():
            for name, value in network.named_buffers():
                value.copy_(before[name])
        _clear_gradients(trained)
    events.log(
        f"training steps use {chosen.precision}, {chosen.layout}; seconds per step: "
        + ", ".join(f"{name} {value:.3g}" for name, value in seconds.items())
    )
    process_cache[str(key)] = asdict(chosen)
    if ranks.is_main_process():
        _write(key, chosen, seconds)
    return chosen


def _time_candidates(
    network: nn.Module, trained: list[nn.Parameter], step: ProbeStep, candidates: list[ComputeSetting]
) -> tuple[ComputeSetting, dict[str, float]]:
    reference = _gradients(network, trained, step, candidates[0])
    agrees = {
        setting: distributed.broadcast(
            gradients_agree(reference, _gradients(network, trained, step, setting))
        )  # also a warm-up
        for setting in candidates[1:]
    }
    del reference  # frees memory of the size of the network
    times: dict[ComputeSetting, float] = {}
    for setting in candidates:
        if setting.precision == candidates[0].precision or agrees[setting]:
            times[setting] = _seconds(trained, step, setting, best=min(times.values(), default=float("inf")))
    fastest = min(times, key=lambda setting: times[setting])
    seconds = {f"{setting.precision} {setting.layout}": value for setting, value in times.items()}
    return (fastest if times[candidates[0]] >= MIN_SPEEDUP * times[fastest] else candidates[0]), seconds


Gradients = tuple[float, list[Tensor]]
"""A loss and its gradient with respect to each weight."""


def gradients_agree(one: Gradients, other: Gradients) -> bool:
    """Whether two losses and gradients agree within the bounds of this module."""
    (loss, gradient), (other_loss, other_gradient) = one, other
    norm, other_norm = math.sqrt(_product(gradient, gradient)), math.sqrt(_product(other_gradient, other_gradient))
    cosine = _product(gradient, other_gradient) / max(norm * other_norm, 1e-30)
    return (
        cosine >= MIN_COSINE
        and abs(other_norm / max(norm, 1e-30) - 1) <= MAX_NORM_DIFFERENCE
        and abs(other_loss - loss) <= MAX_LOSS_DIFFERENCE * max(1.0, abs(loss))
    )


def _product(one: list[Tensor], other: list[Tensor]) -> float:
    return math.fsum(float(a.flatten() @ b.flatten()) for a, b in zip(one, other, strict=True))


def _gradients(network: nn.Module, trained: list[nn.Parameter], step: ProbeStep, setting: ComputeSetting) -> Gradients:
    _clear_gradients(trained)
    dropout = [part for part in network.modules() if part.training and type(part).__name__.startswith(DROPOUT_TYPES)]
    for part in dropout:  # random units would differ between precisions
        part.eval()
    loss = float(step(setting))
    for part in dropout:
        part.train()
    return loss, [w.grad for w in trained if w.grad is not None]


def _seconds(
    trained: list[nn.Parameter], step: ProbeStep, setting: ComputeSetting, best: float = float("inf")
) -> float:
    fastest = float("inf")
    for _ in range(TIMED_STEPS):
        _clear_gradients(trained)
        started = perf_counter()
        float(step(setting))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        fastest = min(fastest, distributed.broadcast(perf_counter() - started))
        if fastest > MAX_SLOWDOWN * best:
            break
    return fastest


def _clear_gradients(trained: list[nn.Parameter]) -> None:
    for weight in trained:
        weight.grad = None


def _key(
    network: nn.Module, trained: list[nn.Parameter], inputs: Tensor, candidates: list[ComputeSetting]
) -> dict[str, Any]:
    trained_ids = {id(weight) for weight in trained}
    parts = [
        (
            type(part).__name__,
            repr(part) if not list(part.children()) else "",
            [(tuple(w.shape), id(w) in trained_ids) for w in part.parameters(recurse=False)],
        )
        for part in network.modules()
    ]
    device = torch.cuda.get_device_name(inputs.device) if inputs.device.type == "cuda" else _processor()
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "processes": distributed.world_size(),
        "torch": torch.__version__,
        "network": hashlib.sha256(repr(parts).encode()).hexdigest(),
        "inputs": list(inputs.shape),
        "among": [asdict(setting) for setting in candidates],
    }


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {torch.backends.cpu.get_cpu_capability()}"
    return f"{platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"


def _cache_file(key: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_home() / _FOLDER / f"{digest[:32]}.json"


def _read(key: dict[str, Any]) -> dict[str, str] | None:
    with suppress(OSError, ValueError, KeyError, TypeError, RuntimeError):
        saved = json.loads(_cache_file(key).read_text(encoding="utf-8"))
        if saved["key"] == key:
            return {name: str(saved["chosen"][name]) for name in ("layout", "precision")}
    return None


def _write(key: dict[str, Any], chosen: ComputeSetting, seconds: dict[str, float]) -> None:
    """Saves a choice atomically; if two steps finish at once, the last one wins."""
    with suppress(OSError, RuntimeError):  # no writable cache: the next training probes again
        path = _cache_file(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        write_text(temporary, json.dumps({"key": key, "chosen": asdict(chosen), "seconds": seconds}, indent=1))
        temporary.replace(path)
