"""Optimizers by name, over groups of weights with their own learning rates."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn, optim

from graftline.config import Training


@dataclass(frozen=True)
class ParameterGroup:
    """Weights that share a peak learning rate."""

    weights: list[nn.Parameter]
    lr: float
    decay: bool = True
    """Whether weight decay applies."""


def parameter_group(modules: Iterable[nn.Module], lr: float, *, decay: bool = True) -> ParameterGroup:
    """Returns the trainable weights of the modules as one group."""
    return ParameterGroup([w for module in modules for w in module.parameters() if w.requires_grad], lr, decay)


def _adamw(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Loshchilov and Hutter 2019."""
    return optim.AdamW(groups, fused=True)


def _adam(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Kingma and Ba 2015."""
    return optim.Adam(groups, fused=True)


def _sgd(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    return optim.SGD(groups, momentum=training.momentum, fused=True)


def _gd(groups: list[dict[str, Any]], training: Training) -> optim.Optimizer:
    """Plain gradient descent; the loop passes the gradient over the entire split."""
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


def build_optimizer(groups: Sequence[ParameterGroup], training: Training) -> optim.Optimizer:
    """Builds the configured optimizer.

    Args:
        groups: Weights and their peak learning rates; each weight is in one group.
        training: Names the optimizer, momentum and weight decay.

    Returns:
        An optimizer whose parameter groups have `peak_lr` in addition to `lr`; each group is split into weights with
        and without weight decay. Weights of one dimension (biases, norms) never decay.
    """
    parts: list[dict[str, Any]] = []
    for group in groups:
        for decays in (True, False):
            if weights := [weight for weight in group.weights if (group.decay and weight.dim() > 1) == decays]:
                parts.append(
                    {
                        "params": weights,
                        "lr": group.lr,
                        "peak_lr": group.lr,
                        "weight_decay": (training.weight_decay or 0.0) if decays else 0.0,
                    }
                )
    return OPTIMIZERS[training.optimizer](parts, training)


def set_lr(optimizer: optim.Optimizer, factor: float) -> None:
    """Sets the learning rate of every group to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor
