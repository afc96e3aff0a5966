"""Torch functions of the tasks: training losses, the exported network's link, distillation losses.

The only module of `evaluation` that imports torch; the tasks import it inside functions.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor, float], Tensor]
"""Takes outputs, labels and the share of label smoothing; returns a scalar."""


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns the mean over samples of -sum_k y_k log p_k, with p the softmax of the logits.

    Args:
        logits: (B, K).
        labels: (B,) class indices, or (B, K) shares that sum to 1 (soft labels).
        smoothing: Share of each label spread over all classes, 0..1 (Szegedy et al. 2016).
    """
    return functional.cross_entropy(logits, labels, label_smoothing=smoothing)


def mse(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns the mean over samples of |p - y|^2, with p the softmax of the logits, y one-hot or soft (Brier 1950).

    Args:
        logits: (B, K).
        labels: (B,) class indices, or (B, K) shares that sum to 1.
        smoothing: Share of each label spread over all classes, 0..1.
    """
    target = soft(labels, logits.shape[1], smoothing).to(logits.dtype)
    return (logits.softmax(dim=1) - target).square().sum(dim=1).mean()


def binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns the mean over samples and labels of -(y log p + (1 - y) log(1 - p)), with p the sigmoid of the logit.

    Args:
        logits: (B, K).
        labels: (B, K), shares in 0..1.
        smoothing: Each label is moved by this share towards 1/2, 0..1.
    """
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, target)


def squared(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns the mean over samples and outputs of (v - y)^2.

    Args:
        values: (B, D), standardized.
        labels: (B, D), standardized the same way.
        smoothing: Ignored.
    """
    return functional.mse_loss(values, labels)


def huber(values: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Returns r^2 / 2 up to residuals r of one standard deviation, linear beyond (Huber 1964); see `squared`."""
    return functional.huber_loss(values, labels)


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


def softmax(logits: Tensor) -> Tensor:
    """Returns the class probabilities (B, K) of logits (B, K)."""
    return torch.softmax(logits, dim=1)


def sigmoid(logits: Tensor) -> Tensor:
    """Returns the probability of each label (B, K), of logits (B, K)."""
    return torch.sigmoid(logits)


def kl_divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns KL(teacher || student) of the softmax of logits (B, K), mean over samples."""
    return functional.kl_div(student.log_softmax(1), teacher.log_softmax(1), log_target=True, reduction="batchmean")


def soft_binary_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the mean binary cross entropy of the student's logits (B, K) with the sigmoid of the teacher's."""
    return functional.binary_cross_entropy_with_logits(student, teacher.sigmoid())
