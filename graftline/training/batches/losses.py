"""Training loss of a network, and the penalty lambda |w|^2."""

from collections.abc import Iterable

import torch
from torch import Tensor

from graftline.evaluation.tasks import TASKS
from graftline.evaluation.torch_functions import Loss
from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError


def loss_of(name: str, objective: Objective) -> Loss:
    """Returns what a network is trained by.

    Args:
        name: As configured; `cross_entropy` is each task's own loss.
        objective: What the network's outputs mean. Residuals of a regression are divided by its deviations.

    Returns:
        Takes outputs, labels in the same units, and the share of label smoothing.

    Raises:
        RefusedError: The task has no such loss.
    """
    losses = TASKS[objective.task].losses()
    if name not in losses:
        raise RefusedError(f"loss: {name} does not fit {objective.task}, which takes {' or '.join(losses)}")
    loss = losses[name]
    if not objective.deviation:
        return loss
    deviation = torch.tensor(objective.deviation)

    def standardized(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        nonlocal deviation
        deviation = deviation.to(values.device)  # once
        return loss((values - labels) / deviation, torch.zeros_like(labels), smoothing)

    return standardized


def squared_norm(weights: Iterable[Tensor]) -> Tensor:
    """R(w) = |w|^2: the sum of squares over all given weights, biases among them.

    The articles minimize sum_i loss_i + lambda R(w) over n images; graftline minimizes their mean,
    (1/n) sum_i loss_i + l2 R(w). So lambda_article = n l2 gives the same minimum.
    """
    return torch.stack([weight.square().sum() for weight in weights]).sum()
