"""What is minimised: a loss by task, over hard or soft labels or numbers, and the articles' lambda |w|^2."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

from graftline.models.objective import Objective
from graftline.runtime.errors import RefusedError

Loss = Callable[[Tensor, Tensor, float], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images of -sum_k y_k log p_k, with p the softmax of the logits.

    Args:
        logits: (B, K).
        labels: (B,) class indices, or (B, K) shares that sum to 1 (soft labels).
        smoothing: Share of each label spread over all classes, 0..1 (Szegedy et al. 2016).
    """
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def mse(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images of |p - y|^2, with p the softmax of the logits and y one-hot or soft (Brier 1950).

    Args:
        logits: (B, K).
        labels: (B,) class indices, or (B, K) shares that sum to 1.
        smoothing: Share of each label spread over all classes, 0..1.
    """
    target = soft(labels, logits.shape[1], smoothing).to(logits.dtype)
    return (logits.softmax(dim=1) - target).square().sum(dim=1).mean()


def binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images and labels of -(y log p + (1 - y) log(1 - p)), with p the sigmoid of the logit.

    Args:
        logits: (B, K).
        labels: (B, K), shares in 0..1.
        smoothing: Each label is moved by this share towards 1/2, 0..1.
    """
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, target)


def squared(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over images and outputs of (v - y)^2.

    Args:
        values: (B, D), standardised.
        labels: (B, D), standardised likewise.
        smoothing: Without a meaning here.
    """
    return functional.mse_loss(values, labels)


def huber(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The same up to residuals of one deviation, linear beyond (Huber 1964); halved, so that it is r^2 / 2 near 0."""
    return functional.huber_loss(values, labels)


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mse}
"""Of classification."""
_OF_TASK: dict[str, dict[str, Loss]] = {
    "classification": LOSSES,
    "multilabel": {"cross_entropy": binary_cross_entropy},
    "regression": {"cross_entropy": squared, "mse": squared, "huber": huber},
}


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
    of_task = _OF_TASK[objective.task]
    if name not in of_task:
        raise RefusedError(f"loss: {name} does not fit {objective.task}, which takes {' or '.join(of_task)}")
    loss = of_task[name]
    if objective.task != "regression":
        return loss
    deviation = torch.tensor(objective.deviation)

    def standardised(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        nonlocal deviation
        deviation = deviation.to(values.device)  # once
        return loss((values - labels) / deviation, torch.zeros_like(labels), smoothing)

    return standardised


def soft(labels: Tensor, classes: int, smoothing: float = 0.0) -> Tensor:
    """Returns labels as shares.

    Args:
        labels: (B,) class indices or (B, K) shares.
        classes: K.
        smoothing: Share of each label spread over all classes, 0..1.

    Returns:
        (B, K); rows sum to 1.
    """
    shares = functional.one_hot(labels, classes).float() if labels.dim() == 1 else labels
    return shares * (1 - smoothing) + smoothing / classes


def squared_norm(weights: Iterable[Tensor]) -> Tensor:
    """R(w) = |w|^2: the sum of squares over all given weights, biases among them.

    The articles minimise sum_i loss_i + lambda R(w) over n images; graftline minimises their mean,
    (1/n) sum_i loss_i + l2 R(w). So lambda_article = n l2 gives the same minimum.
    """
    return torch.stack([weight.square().sum() for weight in weights]).sum()
