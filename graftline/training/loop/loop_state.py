"""Saving a training loop's state as tensors and JSON, and restoring it."""

from typing import Any

import torch
from torch import Tensor, nn

from graftline.models.devices import random_state, set_random_state
from graftline.runtime import events
from graftline.training.loop.loop import TrainingLoop
from graftline.training.resume.journal import JournalEntry, State

_COUNTS = ("steps", "epochs", "examples_seen", "batches_done", "seconds")
_NETWORK = "network."
_RANDOM = ("random.torch", "random.cuda")


def capture_state(loop: TrainingLoop, **extra: Any) -> JournalEntry:
    """Returns everything that a loop's next step depends on.

    The entry holds weights and running statistics, their average, the optimizer's state, random generator states, the
    position in the epoch, and the settings that a probe chose. Its tensors are live: write them before the next step.

    Args:
        loop: A loop between two steps.
        **extra: Additional JSON values.
    """
    tensors = {_NETWORK + key: value for key, value in loop.network.state_dict().items()}
    if loop.average is not None:
        tensors |= {f"average.{key}": value for key, value in loop.average.values.items()}
    for number, (_, states) in enumerate(_optimizer_states(loop)):
        tensors |= {f"optimizer.{number}.{key}": value for key, value in states.items()}
    tensors |= {"random.order": loop.order_state, "random.batches": loop.generator.get_state()}
    tensors |= dict(zip(_RANDOM, random_state(loop.device), strict=False))
    if loop.losses:
        tensors["losses"] = torch.stack(loop.losses)
    values = {
        **{name: getattr(loop, name) for name in _COUNTS},
        "updates": loop.average.updates if loop.average is not None else 0,
        "settings": loop.stepper.settings(),
        **extra,
    }
    return JournalEntry(values, tensors, has_network=True)


def restore_state(loop: TrainingLoop, entry: JournalEntry) -> None:
    """Restores a state from `capture_state` in a new loop that was built like the original."""
    for name in _COUNTS:
        setattr(loop, name, entry.values[name])
    loop.stepper.apply_settings(entry.values["settings"])
    loop.progress.advance(loop.examples_seen, events.GOES_ON)
    tensors = entry.tensors
    load_network_state(loop.network, tensors)
    if entry.done:
        return
    if loop.average is not None:
        loop.average.updates = entry.values["updates"]
        with torch.no_grad():
            for key, value in loop.average.values.items():
                value.copy_(tensors[f"average.{key}"])
    _load_optimizer_state(loop, tensors)
    loop.order_state = tensors["random.order"].cpu()
    loop.generator.set_state(tensors["random.batches"].cpu())
    set_random_state(loop.device, [tensors[name] for name in _RANDOM if name in tensors])
    loop.losses = list(tensors["losses"].to(loop.device)) if "losses" in tensors else []


def network_state(network: nn.Module, prefix: str = "") -> State:
    """Returns copies of a network's weights and statistics under their names in a journal entry.

    Args:
        network: Any network.
        prefix: Only keys with this prefix are returned.
    """
    return {_NETWORK + key: value.clone() for key, value in network.state_dict().items() if key.startswith(prefix)}


def load_network_state(network: nn.Module, tensors: State) -> None:
    """Copies the weights and statistics of a journal entry into a network; an entry without any changes nothing."""
    own = network.state_dict()
    with torch.no_grad():
        for key, value in tensors.items():
            if key.startswith(_NETWORK):
                own[key.removeprefix(_NETWORK)].copy_(value)


def _optimizer_states(loop: TrainingLoop) -> list[tuple[Tensor, dict[str, Tensor]]]:
    weights = [weight for group in loop.optimizer.param_groups for weight in group["params"]]
    return [
        (
            weight,
            {key: value for key, value in loop.optimizer.state.get(weight, {}).items() if isinstance(value, Tensor)},
        )
        for weight in weights
    ]


def _load_optimizer_state(loop: TrainingLoop, tensors: State) -> None:
    fused = {id(weight) for group in loop.optimizer.param_groups if group.get("fused") for weight in group["params"]}
    for number, (weight, _) in enumerate(_optimizer_states(loop)):
        prefix = f"optimizer.{number}."
        saved = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if saved:  # moments have the device and layout of their weight; fused optimizers keep step counts there too
            step_device = weight.device if id(weight) in fused else "cpu"
            loop.optimizer.state[weight] = {
                key: torch.empty_like(weight).copy_(value)
                if value.shape == weight.shape and value.dim()
                else value.to(step_device, copy=True)
                for key, value in saved.items()
            }
