"""Class balance: class weights in the training loss, or a sampler that draws all classes equally often."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from graftline.evaluation.torch_functions import Loss, soft
from graftline.models.objective import Objective
from graftline.training.batches.losses import loss_of
from graftline.training.batches.samples import Indices, batch_bounds, shuffled_batches


def class_weights(labels: NDArray[np.int64]) -> Tensor:
    """Returns n / (K n_k) for each class, so that the mean over the images is 1 (King and Zeng 2001).

    Args:
        labels: (N,) class indices of the training images.

    Returns:
        float32 (K,), up to the last class that has images; 1 for earlier classes without images.
    """
    counts = np.bincount(labels)
    present = max(1, np.count_nonzero(counts))
    weights = np.where(counts > 0, len(labels) / (present * np.maximum(counts, 1)), 1.0)
    return torch.from_numpy(weights.astype(np.float32))


def training_loss(name: str, objective: Objective, weights: Tensor | None) -> Loss:
    """Returns the loss that training minimizes; validation uses `loss_of`, which weighs all images equally.

    Args:
        name: Name of the loss in the config.
        objective: Meaning of the network's outputs.
        weights: Result of `class_weights`; None: all images have equal weight.
    """
    if weights is None:
        return loss_of(name, objective)
    on_device = weights

    def weighted(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
        nonlocal on_device
        on_device = on_device.to(logits.device)  # copies at the first call only
        return weighted_loss(name, logits, labels, smoothing, on_device)

    return weighted


def weighted_loss(loss: str, logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor) -> Tensor:
    """Returns the mean over images of weight times loss.

    Args:
        loss: `cross_entropy` or `mse`.
        logits: (B, K).
        labels: (B,) class indices, or (B, K) soft labels.
        smoothing: Share of each label spread over all classes, 0..1.
        weights: (k,) weights of the first k classes; 1 for the others. An image with a soft label has the weighted
            mean of its classes' weights.
    """
    weights = functional.pad(weights.to(logits.device), (0, logits.shape[1] - len(weights)), value=1.0)
    image_weights = weights[labels] if labels.dim() == 1 else labels @ weights
    shares = soft(labels, logits.shape[1], smoothing).to(logits.dtype)
    if loss == "mse":
        losses = (logits.softmax(dim=1) - shares).square().sum(dim=1)
    else:
        losses = -(shares * logits.log_softmax(dim=1)).sum(dim=1)
    return (image_weights * losses).mean()


def training_batches(
    labels: NDArray[np.int64], size: int, generator: Generator, balance: str | None
) -> Iterator[Indices]:
    """Yields the indices of one epoch, batch by batch: a pure function of the generator's state.

    Args:
        labels: Labels of the training images; (N,) class indices if `balance` is `sampler`.
        size: Batch size.
        generator: Draws the order.
        balance: `sampler` draws all classes equally often, N images in total: some images of large classes are left
            out, those of small classes are repeated. Any other value: each image once.
    """
    if balance != "sampler":
        yield from shuffled_batches(len(labels), size, generator)
        return
    classes = np.unique(labels)
    quotas = [len(part) for part in np.array_split(np.arange(len(labels)), len(classes))]
    drawn = [
        _draw(np.flatnonzero(labels == label), quota, generator) for label, quota in zip(classes, quotas, strict=True)
    ]
    indices = np.concatenate(drawn)[torch.randperm(len(labels), generator=generator).numpy()]
    for low, high in batch_bounds(len(indices), size):
        yield indices[low:high]


def _draw(indices: Indices, quota: int, generator: Generator) -> Indices:
    rounds = [torch.randperm(len(indices), generator=generator).numpy() for _ in range(-(-quota // len(indices)))]
    order: Indices = np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:quota]
    return np.take(indices, order)
