"""The distance between two networks' feature maps (DELTA, Li et al. 2019)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graftline.models.layers import layers
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.methods.channels import axis
from graftline.training.loop.stepper import Batch, Penalty

LAYERS = 4
"""Number of layers compared by default: the last one of each quarter."""


def compared_layers(every: Sequence[str], named: Sequence[str] | None) -> list[str]:
    """Returns the names of the layers whose maps are compared, from the input.

    Args:
        every: Names of the backbone's layers, from the input.
        named: Names from the config; None: the last layer of each quarter.

    Raises:
        RefusedError: A layer does not exist, or the list is empty; the message lists the names.
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


def map_distance(
    source: Network, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> Penalty:
    """Returns a penalty, the sum over layers of C/2 sum_c w_c d_c.

    d_c is the mean squared distance between both networks' maps of channel c, over positions and images.

    Args:
        source: Frozen network in eval mode.
        own: Maps of the network in training by layer name, updated at each forward pass.
        theirs: Maps of `source` by layer name, updated at each forward pass.
        weights: Channel weights (C,) with sum 1, by layer name.
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
