"""Head surgery: transfer of the source head's rows to the target's head, by class name rather than by index."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from graftline.models.network import Network
from graftline.strategies.weights.class_matching import partners
from graftline.training.interface import StrategyInput, Surgery


@dataclass(frozen=True)
class Grafted:
    """Record of the weights transferred from the source's head to the target's."""

    surgery: Surgery
    keys: list[str] = field(default_factory=list)
    """Names of the network's weights that were transferred entirely."""
    taken: list[str] = field(default_factory=list)
    """Names of the source's weights that were transferred entirely or in part."""
    whole: bool = False
    """Whether no part of the head was reinitialized."""


def anew(inputs: StrategyInput) -> Surgery:
    """Returns the record of a reinitialized or newly fitted head: no rows are kept."""
    return _surgery(inputs, _partners(inputs), kept=False)


def graft(inputs: StrategyInput, network: Network) -> Grafted:
    """Transfers the source head's weights to the target's head by class name, in place.

    Rows of classes that both tasks share are kept. Rows of new classes are reinitialized around the mean of the
    source's rows, at the mean distance of the kept rows from it, so that initial logits have similar magnitudes
    (following Hewitt 2021, who initializes new vocabulary entries this way). Hidden layers are transferred from the
    first one on while their shapes match; rows are kept only if all hidden layers were transferred. If no class
    matches by name, the head is unchanged.

    Args:
        inputs: Input of the strategy; a head of the source's architecture is used only if it is a single
            linear layer.
        network: Network with a randomly initialized head.

    Returns:
        A record of the kept, new and dropped classes and of the transferred weights.
    """
    matches = _partners(inputs)
    theirs, ours = (
        _dense_layers(inputs),
        [(f"head.{name}", part) for name, part in network.head.named_modules() if isinstance(part, nn.Linear)],
    )
    if not theirs or all(match is None for match in matches):
        return Grafted(anew(inputs))
    keys: list[str] = []
    taken: list[str] = []
    for (source, their), (name, our) in zip(theirs[:-1], ours[:-1], strict=False):
        if their.weight.shape != our.weight.shape:
            break
        our.load_state_dict(their.state_dict())
        keys, taken = keys + _names(name), taken + _names(source)
    (source, their), (name, our) = theirs[-1], ours[-1]
    if len(keys) < 2 * (len(ours) - 1) or len(theirs) != len(ours) or their.in_features != our.in_features:
        return Grafted(anew(inputs), keys, taken)
    _put_rows(their, our, matches)
    whole = None not in matches
    return Grafted(_surgery(inputs, matches, kept=True), keys + _names(name) * whole, taken + _names(source), whole)


def _partners(inputs: StrategyInput) -> list[int | None]:
    return partners(inputs.start.manifest.classes, inputs.classes)


def _surgery(inputs: StrategyInput, matches: Sequence[int | None], *, kept: bool) -> Surgery:
    here = [name for name, match in zip(inputs.classes, matches, strict=True) if kept and match is not None]
    return Surgery(
        here,
        [name for name in inputs.classes if name not in here],
        [name for place, name in enumerate(inputs.start.manifest.classes) if place not in matches],
    )


def _dense_layers(inputs: StrategyInput) -> list[tuple[str, nn.Linear]]:
    """Returns the source head's linear layers, or none if the head cannot be transferred as linear layers."""
    head, source = inputs.start.network.head, inputs.start.manifest
    found = [(f"head.{name}".rstrip("."), part) for name, part in head.named_modules() if isinstance(part, nn.Linear)]
    if source.source_head:
        parts = [part for part in head.modules() if not isinstance(part, (nn.Sequential, nn.Dropout))]
        found = found if len(parts) == len(found) == 1 else []
    same = source.task == inputs.objective.task  # logits and regression outputs are not interchangeable
    return found if same and found and found[-1][1].out_features == len(source.classes) else []


def _names(name: str) -> list[str]:
    return [f"{name}.weight", f"{name}.bias"]


def _put_rows(their: nn.Linear, our: nn.Linear, matches: Sequence[int | None]) -> None:
    kept = [row for row, match in enumerate(matches) if match is not None]
    new = [row for row, match in enumerate(matches) if match is None]
    places = [match for match in matches if match is not None]
    with torch.no_grad():
        center = their.weight.mean(dim=0)
        spread = (their.weight[places] - center).norm(dim=1).mean()
        drawn = our.weight[new]
        our.weight[new] = center + spread * drawn / drawn.norm(dim=1, keepdim=True).clamp(min=1e-12)
        our.weight[kept] = their.weight[places]
        our.bias[new] = their.bias.mean()
        our.bias[kept] = their.bias[places]
