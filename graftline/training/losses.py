"""What is minimised: a loss over hard or soft labels, and the articles' lambda |w|^2."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional

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


LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy, "mse": mse}


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
