"""Classes of unequal size: weights in the training loss, or an order of images in which each class comes as often."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from graftline.models.objective import Objective
from graftline.training.batches.losses import Loss, loss_of, soft
from graftline.training.batches.samples import Indices, cut, shuffled


def class_weights(labels: NDArray[np.int64]) -> Tensor:
    """Returns n / (K n_k) for each class, so that the mean over the images is 1 (King and Zeng 2001).

    Args:
        labels: (N,) class indices, of the training images.

    Returns:
        float32 (K,), up to the last class that has images; 1 for one without images before it.
    """
    counts = np.bincount(labels)
    present = max(1, np.count_nonzero(counts))
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1.0)
    return torch.from_numpy(weights.astype(np.float32))


def training_loss(name: str, objective: Objective, weights: Tensor | None) -> Loss:
    """Returns the loss that gradients are taken of; validation's is `loss_of`, which weighs each image alike.

    Args:
        name: As configured.
        objective: What the network's outputs mean.
        weights: From `class_weights`; None: each image counts alike.
    """
    if weights is None:
        return loss_of(name, objective)
    placed = weights

    def weighted(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        nonlocal placed
        placed = placed.to(logits.device)  # once
        return weighted_loss(name, logits, labels, smoothing, placed)

    return weighted


def weighted_loss(loss: str, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor) -> Tensor:
    """Returns the mean over images of weight times loss.

    Args:
        loss: `cross_entropy` or `mse`.
        logits: (B, K).
        labels: (B,) class indices, or (B, K) shares.
        smoothing: Share of each label spread over all classes, 0..1.
        weights: Of the first classes, 1 for those after them. A mixed image weighs what its shares do.
    """
    weights = functional.pad(weights.to(logits.device), (0, logits.shape[1] - len(weights)), value=1.0)
    worth = weights[labels] if labels.dim() == 1 else labels @ weights
    shares = soft(labels, logits.shape[1], smoothing).to(logits.dtype)
    if loss == "mse":
        each = (logits.softmax(dim=1) - shares).square().sum(dim=1)
    else:
        each = -(shares * logits.log_softmax(dim=1)).sum(dim=1)
    return (worth * each).mean()


def ordered(labels: NDArray[np.int64], size: int, generator: Generator, balance: str | None) -> Iterator[Indices]:
    """Yields the places of one pass, batch by batch: a pure function of the generator's state.

    Args:
        labels: Of the training images, (N,) class indices where `balance` is `sampler`.
        size: Images a batch, at most.
        generator: Draws the order.
        balance: `sampler` shows each class as often as any other, N images in all: of a large class some are left
            out, those of a small one come again. Anything else: each image once.
    """
    if balance != "sampler":
        yield from shuffled(len(labels), size, generator)
        return
    present = np.unique(labels)
    quotas = [len(part) for part in np.array_split(np.arange(len(labels)), len(present))]
    drawn = [
        _drawn(np.flatnonzero(labels == each), quota, generator) for each, quota in zip(present, quotas, strict=True)
    ]
    places = np.concatenate(drawn)[torch.randperm(len(labels), generator=generator).numpy()]
    for low, high in cut(len(places), size):
        yield places[low:high]


def _drawn(places: Indices, quota: int, generator: Generator) -> Indices:
    rounds = [torch.randperm(len(places), generator=generator).numpy() for _ in range(-(-quota // len(places)))]
    order: Indices = np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:quota]
    return np.take(places, order)
