"""`delta`: every layer is trained, feature maps held near to the source network's (DELTA, Li et al. 2019).

A channel counts by how much the source network's loss on training images rises when it is zeroed. Weights and distances
are those of the authors' code, but that takes the sum over a batch's images where this takes their mean: its strength
of 0.01 at 48 images a batch is 0.48 here.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graftline.config.strategies import Delta
from graftline.models.devices import place
from graftline.models.layers import layers
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.delta.channels import axis, channel_weights, tapped
from graftline.strategies.full import train_all
from graftline.strategies.weights.carry import carried
from graftline.training.batches.losses import squared_norm
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze
from graftline.training.loop.stepper import Batch, Penalty

LAYERS = 4
"""Layers compared where none are named: the last one of each quarter."""


def train(task: StrategyInput) -> StrategyResult:
    """Weighs the channels, then trains all layers beside a frozen copy of the source's backbone.

    The optimizer decays no weights: the penalties are all the decay there is, as in the authors' code.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer.
        DivergedError: The loss did.
    """
    options = task.asked(Delta)
    start = carried(task, head=True)
    names = compared([name for name, _ in start.layers], options.layers)
    place(start.network, task.device)
    source = copy.deepcopy(start.network).eval()
    freeze([source])
    kept = task.journal.get_or_create("channel weights", lambda: channel_weights(task, names))
    weights = {name: kept[name].to(task.device) for name in names}
    head = list(start.network.head.parameters())
    with tapped(start.network, names) as own, tapped(source, names) as theirs:
        near = near_maps(source, own, theirs, weights)
        trained = train_all(
            task,
            start,
            decay=False,
            penalties=[lambda batch: options.strength * near(batch) + options.beta / 2 * squared_norm(head)],
        )
    trained.notes.append(f"maps compared behind {', '.join(names)}")
    return trained


def compared(every: Sequence[str], named: Sequence[str] | None) -> list[str]:
    """Returns the layers whose maps are compared, from the input.

    Args:
        every: The backbone's layers, from the input.
        named: By the config; None: the last one of each quarter.

    Raises:
        RefusedError: No such layer; lists the names.
    """
    if named is None:
        count = min(LAYERS, len(every))
        return [every[round(len(every) * number / count) - 1] for number in range(1, count + 1)]
    unknown = [name for name in named if name not in every]
    if unknown or not named:
        raise RefusedError(
            f"strategies.delta.layers: {', '.join(unknown) or 'none'}; expected some of the backbone's "
            f"layers, from the input: {', '.join(every)}"
        )
    return [name for name in every if name in named]


def near_maps(
    source: Network, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> Penalty:
    """Returns the sum over layers of C/2 sum_c w_c d_c, d_c the channel's mean squared distance over places and images.

    Args:
        source: Frozen, in eval mode.
        own: Maps that the network in training leaves.
        theirs: Maps that `source` leaves.
        weights: Layer to (C,), sum 1.
    """
    axes = dict(layers(source))

    def penalty(batch: Batch) -> Tensor:
        kind = next((map_.dtype for map_ in own.values() if map_.dtype == torch.bfloat16), torch.float32)
        with torch.no_grad(), torch.autocast(batch.inputs.device.type, kind, enabled=kind == torch.bfloat16):
            source.backbone(batch.inputs)
        return torch.stack(
            [
                _distance(own[name], theirs[name], weight, axis(axes[name], own[name]))
                for name, weight in weights.items()
            ]
        ).sum()

    return penalty


def _distance(own: Tensor, theirs: Tensor, weight: Tensor, channels: int) -> Tensor:
    squares = (own.float() - theirs.float()).square().transpose(channels, -1).flatten(0, -2).mean(dim=0)
    return len(weight) / 2 * (weight * squares).sum()
