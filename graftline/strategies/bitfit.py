"""`bitfit`: the source's weights stay, biases (Ben Zaken et al. 2022) or norm layers and a head are trained.

Norm layers alone: Mudrakarta et al. 2019 (with a head, for transfer); Frankle et al. 2021.
"""

from collections.abc import Iterator
from dataclasses import replace

from torch import nn

from graftline.config.strategies import BitFit
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import carried, train_groups
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze, trained_parameters
from graftline.training.loop.optimizer import ParameterGroup, parameter_group
from graftline.training.recipe import rates

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def train(task: StrategyInput) -> StrategyResult:
    """Trains the head and the backbone's biases, or its norm layers, at the rate of new layers, as the paper does.

    Running statistics of batch norm stand still with `biases` and move with `norms`.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The backbone has no such weights.
        DivergedError: The loss did.
    """
    options = task.asked(BitFit)
    start = carried(task, head=True)
    network = start.network
    chosen = thaw_only(network, options.train, task.start.manifest.backbone)
    rate = rates(task.training)
    groups = [
        parameter_group([network.head], rate.carried if start.head else rate.new),
        ParameterGroup(chosen, rate.new),
    ]
    _, trained = train_groups(task, network, start.contract, groups)
    every = sum(weight.numel() for weight in network.parameters())
    note = (
        f"{options.train} and head trained: {trained_parameters(network)} of {every} weights; batch norm's running "
        f"statistics, where there are any, {'stood still' if options.train == 'biases' else 'moved'}"
    )
    return replace(
        trained,
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[*start.notes, note],
    )


def thaw_only(network: Network, what: str, backbone: str) -> list[nn.Parameter]:
    """Freezes the backbone but for its biases or its norm layers.

    Args:
        network: Changed in place; its head stays trained.
        what: `biases` or `norms`.
        backbone: Its name, for the message.

    Returns:
        The backbone's trained weights.

    Raises:
        RefusedError: There are none.
    """
    freeze([network.backbone])
    chosen = list(_biases(network.backbone) if what == "biases" else _norms(network.backbone))
    if not chosen:
        other = "norms" if what == "biases" else "biases"
        raise RefusedError(
            f"strategies.bitfit.train: {backbone} has no {what} to train; expected a backbone with "
            f"some; take `train: {other}`, or feature or partial, which serve every backbone"
        )
    for weight in chosen:
        weight.requires_grad_(True)
    return chosen


def _biases(backbone: nn.Module) -> Iterator[nn.Parameter]:
    for name, weight in backbone.named_parameters():
        last = name.rpartition(".")[2]  # attention calls them in_proj_bias, recurrent units bias_ih_l0
        if weight.dim() == 1 and (last == "bias" or last.startswith("bias_") or last.endswith("_bias")):
            yield weight


def _norms(backbone: nn.Module) -> Iterator[nn.Parameter]:
    for part in backbone.modules():
        if isinstance(part, NORMS):
            yield from part.parameters(recurse=False)
