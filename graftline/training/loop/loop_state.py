"""A loop's state as tensors and JSON, and back: all that its next step depends on."""

from typing import Any

import torch
from torch import Tensor, nn

from graftline.models.devices import random_state, set_random_state
from graftline.runtime import events
from graftline.training.loop.loop import TrainingLoop
from graftline.training.resume.journal import JournalEntry, State

_COUNTS = ("steps", "epochs", "shown", "batches", "seconds")
_NETWORK = "network."
_RANDOM = ("random.torch", "random.cuda")


def state_of(loop: TrainingLoop, **more: Any) -> JournalEntry:
    """Returns a loop's state, live tensors included: to be written before the next step.

    It holds weights and running statistics, the average, the optimizer's state, the random numbers of batches and of
    dropout, the place in the pass, and what a probe chose.

    Args:
        loop: Between two steps.
        **more: JSON to keep beside it.
    """
    tensors = {_NETWORK + key: value for key, value in loop.network.state_dict().items()}
    if loop.average is not None:
        tensors |= {f"average.{key}": value for key, value in loop.average.values.items()}
    for number, (_, states) in enumerate(_optimizer(loop)):
        tensors |= {f"optimizer.{number}.{key}": value for key, value in states.items()}
    tensors |= {"random.order": loop.order, "random.batches": loop.generator.get_state()}
    tensors |= dict(zip(_RANDOM, random_state(loop.device), strict=False))
    if loop.losses:
        tensors["losses"] = torch.stack(loop.losses)
    counts = {name: getattr(loop, name) for name in _COUNTS}
    updates = loop.average.updates if loop.average is not None else 0
    return JournalEntry({**counts, "updates": updates, "chosen": loop.stepper.chosen(), **more}, tensors, whole=True)


def restore(loop: TrainingLoop, cell: JournalEntry) -> None:
    """Puts a loop, made as the first one was, where `state_of` found that one."""
    for name in _COUNTS:
        setattr(loop, name, cell.values[name])
    loop.stepper.choose(cell.values["chosen"])
    loop.progress.advance(loop.shown, events.GOES_ON)
    tensors = cell.tensors
    fill_network(loop.network, tensors)
    if cell.done:
        return
    if loop.average is not None:
        loop.average.updates = cell.values["updates"]
        with torch.no_grad():
            for key, value in loop.average.values.items():
                value.copy_(tensors[f"average.{key}"])
    _fill_optimizer(loop, tensors)
    loop.order = tensors["random.order"].cpu()
    loop.generator.set_state(tensors["random.batches"].cpu())
    set_random_state(loop.device, [tensors[name] for name in _RANDOM if name in tensors])
    loop.losses = list(tensors["losses"].to(loop.device)) if "losses" in tensors else []


def network_state(network: nn.Module, prefix: str = "") -> State:
    """Returns copies of a network's weights and statistics, as a cell names them; of those with a prefix alone."""
    return {_NETWORK + key: value.clone() for key, value in network.state_dict().items() if key.startswith(prefix)}


def fill_network(network: nn.Module, tensors: State) -> None:
    """Puts weights and statistics into a network, where a cell still has them: a later part's cell has all again."""
    own = network.state_dict()
    with torch.no_grad():
        for key, value in tensors.items():
            if key.startswith(_NETWORK):
                own[key.removeprefix(_NETWORK)].copy_(value)


def _optimizer(loop: TrainingLoop) -> list[tuple[Tensor, dict[str, Tensor]]]:
    weights = [weight for group in loop.optimizer.param_groups for weight in group["params"]]
    return [
        (
            weight,
            {key: value for key, value in loop.optimizer.state.get(weight, {}).items() if isinstance(value, Tensor)},
        )
        for weight in weights
    ]


def _fill_optimizer(loop: TrainingLoop, tensors: State) -> None:
    fused = {id(weight) for group in loop.optimizer.param_groups if group.get("fused") for weight in group["params"]}
    for number, (weight, _) in enumerate(_optimizer(loop)):
        prefix = f"optimizer.{number}."
        found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if found:  # moments go to their weight's device and layout, a step count there too if the optimizer is fused
            counts = weight.device if id(weight) in fused else "cpu"
            loop.optimizer.state[weight] = {
                key: torch.empty_like(weight).copy_(value)
                if value.shape == weight.shape and value.dim()
                else value.to(counts, copy=True)
                for key, value in found.items()
            }
