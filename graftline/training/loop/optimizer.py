"""Optimizers by name, over groups of weights with rates of their own; decay never touches biases and norms."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn, optim

from graftline.config import Training


@dataclass(frozen=True)
class Group:
    """Weights that share a peak learning rate."""

    weights: list[nn.Parameter]
    rate: float
    decay: bool = True
    """False: no weight decay on these."""


def group(modules: Iterable[nn.Module], rate: float, *, decay: bool = True) -> Group:
    """Returns the trainable weights of some modules as one group."""
    return Group([w for module in modules for w in module.parameters() if w.requires_grad], rate, decay)


def _adamw(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Loshchilov and Hutter 2019."""
    return optim.AdamW(groups, fused=True)


def _adam(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Kingma and Ba 2015."""
    return optim.Adam(groups, fused=True)


def _sgd(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    return optim.SGD(groups, momentum=training.momentum, fused=True)


def _gd(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Plain gradient descent: the loop gives it the gradient over the whole split."""
    return optim.SGD(groups, fused=True)


def _rmsprop(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    return optim.RMSprop(groups, momentum=training.momentum)


OPTIMIZERS: dict[str, Callable[[list[dict[str, Any]], Training], optim.Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "gd": _gd,
    "rmsprop": _rmsprop,
}


def build(groups: Sequence[Group], training: Training) -> optim.Optimizer:
    """Makes an optimizer.

    Args:
        groups: Weights and their peak rates, each weight in one group.
        training: Its optimizer, momentum and weight decay.

    Returns:
        An optimizer whose groups carry `peak` beside `lr`; each group is split in two, with and without decay.
        Weights of one dimension (biases, norms) never decay.
    """
    parts: list[dict[str, Any]] = []
    for each in groups:
        for decays in (True, False):
            if weights := [weight for weight in each.weights if (each.decay and weight.dim() > 1) == decays]:
                parts.append(
                    {
                        "params": weights,
                        "lr": each.rate,
                        "peak": each.rate,
                        "weight_decay": (training.weight_decay or 0.0) if decays else 0.0,
                    }
                )
    return OPTIMIZERS[training.optimizer](parts, training)


def set_rate(optimizer: optim.Optimizer, factor: float) -> None:
    """Sets every group's rate to its peak times `factor`."""
    for each in optimizer.param_groups:
        each["lr"] = each["peak"] * factor
