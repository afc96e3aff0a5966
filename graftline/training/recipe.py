"""Defaults that follow from the data: epochs, rates, augmentation, and what a candidate will cost. No torch."""

import math
from dataclasses import dataclass

from graftline.config import Augmentation, Feature, Staged, Strategy, Training, Zero

ADAPTIVE = ("adamw", "adam", "rmsprop")
NEW, CARRIED = 1e-3, 1e-4
"""Peak rates of layers drawn anew and of carried ones, for adaptive optimizers."""
SMALL_IMAGE = 64
"""Sides under this many pixels are shifted; larger images are cropped and mirrored."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates."""

    new: float
    """Of layers with weights drawn anew."""
    carried: float
    """Of layers with a source's weights."""


def rates(training: Training) -> Rates:
    """Returns the peak rates: the one asked for, for all layers, or one for new and one for carried layers."""
    if training.learning_rate is not None:
        return Rates(training.learning_rate, training.learning_rate)
    factor = 1 if training.optimizer in ADAPTIVE else 10
    return Rates(NEW * factor, CARRIED * factor)


def epochs(images: int, optimizer: str = "adamw") -> int:
    """Returns passes over the training split: 400 / sqrt(images), from 5 to 60; ten times that for `gd`.

    Args:
        images: In the training split.
        optimizer: `gd` makes one step a pass, so it gets more of them.
    """
    few = min(60, max(5, round(400 / math.sqrt(max(1, images)))))
    return few * 10 if optimizer == "gd" else few


def head_iterations(images: int) -> int:
    """Returns the cap on passes over cached features that a head takes to converge: 20 to 60."""
    return min(60, max(20, 100_000 // max(1, images)))


def augmentation(image_shape: tuple[int, int, int]) -> Augmentation:
    """Returns `shift` for images under 64 pixels (digits keep their hand), else `crop`."""
    return "shift" if max(image_shape[1:]) < SMALL_IMAGE else "crop"


def resolve(training: Training, strategy: Strategy | None, images: int,
            image_shape: tuple[int, int, int]) -> Training:
    """Fills in what a training leaves open, save the rates, which differ from layer to layer (see `rates`).

    Args:
        training: As configured.
        strategy: What will be trained; None for a control or a pretraining.
        images: In the training split.
        image_shape: (C, H, W), as stored.

    Returns:
        The same with `epochs` and `augment` set. For `feature` the epochs are the head's passes, which a smaller
        number in the config does not cut: its head is trained to convergence.
    """
    passes = training.epochs or epochs(images, training.optimizer)
    if isinstance(strategy, Feature):
        passes = max(head_iterations(images), training.epochs or 0)
    return training.model_copy(update={"epochs": passes, "augment": training.augment or augmentation(image_shape)})


def control_training(training: Training, longest: int, images: int, image_shape: tuple[int, int, int]) -> Training:
    """Returns how the control is trained.

    Its optimizer is the candidates' where that is adaptive; else AdamW, which the control's rates are made for:
    a weak optimizer must not make a weak opponent. No rate of its own: it finds one.

    Args:
        training: The candidates', as configured.
        longest: Presentations of the longest candidate.
        images: In the training split.
        image_shape: (C, H, W), as stored.
    """
    optimizer = training.optimizer if training.optimizer in ADAPTIVE else "adamw"
    return training.model_copy(update={
        "optimizer": optimizer, "learning_rate": None, "epochs": max(1, math.ceil(longest / max(1, images))),
        "augment": training.augment or augmentation(image_shape)})


def presentations(strategy: Strategy, training: Training, images: int) -> int:
    """Returns how many images a candidate will show to gradients, at most.

    Args:
        strategy: What is trained.
        training: Resolved.
        images: In the training split.
    """
    if isinstance(strategy, Zero):
        return 0
    if training.epochs is None:
        raise ValueError("training.epochs: resolve it first")
    head = head_iterations(images) if isinstance(strategy, Staged) else 0
    return (training.epochs + head) * images
