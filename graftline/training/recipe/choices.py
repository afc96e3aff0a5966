"""One function for each setting, which returns its default value and a short reason."""

import math
from collections.abc import Callable
from typing import Any

from graftline.config import Training
from graftline.data.labels import LABEL_TYPES
from graftline.training.profile import TrainingProfile
from graftline.training.recipe.facts import RecipeInput

ADAPTIVE = ("adamw", "adam", "rmsprop")
"""Optimizers with adaptive learning rates."""
NEW, CARRIED, CARRIED_SMALL, CARRIED_ATTENTION = 1e-3, 2e-4, 3e-4, 3e-5
"""Peak learning rates for adaptive optimizers: of new layers, and of transferred layers in general, in small networks
and in transformers."""
SMALL_IMAGE = 64
"""Side in pixels below which images are shifted; larger images are cropped and flipped."""
MIXED_FROM = 20_000
"""Minimum number of images for mixup and cutmix: the limit between BiT's small and medium regimes."""
PATIENT_FROM = 20
"""Minimum number of validation images of the rarest class for early stopping; below it, plan uses cross-validation."""
WEIGHTS_FROM, SAMPLER_FROM = 2.0, 10.0
"""Ratios of the largest to the smallest class from which class weights and a balanced sampler are used. Class weights
above the second ratio would make single steps too large."""
LONG = 100
"""Minimum number of epochs for which cutmix is beneficial."""
AVERAGED_FROM = 200
"""Minimum number of steps for averaging weights; the average covers about a twentieth of the steps."""

Chosen = tuple[Any, str]
Choice = Callable[[Training, TrainingProfile, RecipeInput], Chosen]


def is_drawn(profile: TrainingProfile, facts: RecipeInput) -> bool:
    """Returns whether the trained network starts from random weights."""
    return not facts.carried or profile.is_random


def epochs(images: int, optimizer: str = "adamw", *, small: bool = False, drawn: bool = False) -> int:
    """Returns the number of epochs: c / sqrt(images), clipped to a range; ten times that for `gd`.

    Args:
        images: Number of images in the training split.
        optimizer: Name of the optimizer; `gd` takes one step per epoch and needs more epochs.
        small: Whether the network is mlp, cnn or rnn: c = 1600, 10 to 120. Their epochs are cheap and their features
            transfer less.
        drawn: Whether a larger network starts from random weights: c = 1200, 8 to 120 (it needs several times as many
            epochs, He et al. 2019). Otherwise c = 400, 5 to 60.
    """
    share, least, most = (1600, 10, 120) if small else (1200, 8, 120) if drawn else (400, 5, 60)
    few = min(most, max(least, round(share / math.sqrt(max(1, images)))))
    return few * 10 if optimizer == "gd" else few


def head_iterations(images: int) -> int:
    """Returns the maximum number of passes over cached features when fitting a head, 20 to 60."""
    return min(60, max(20, 100_000 // max(1, images)))


def _epochs(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if profile.trains == "head":
        views = f" in {profile.views} views" if profile.views > 1 else ""
        return (
            head_iterations(facts.images * profile.views),
            f"at most, for a head on the frozen features of {facts.images:,} images{views}",
        )
    drawn = is_drawn(profile, facts)
    network = "a small network" if facts.small else "random weights" if drawn else "a source's weights"
    return (
        epochs(facts.images, training.optimizer, small=facts.small, drawn=drawn),
        f"{facts.images:,} images and {network}",
    )


def rates_of(optimizer: str, profile: TrainingProfile, facts: RecipeInput) -> tuple[float, float]:
    """Returns the peak learning rates of new and of transferred layers, ten times as high for sgd and gd."""
    factor = 1 if optimizer in ADAPTIVE else 10
    carried = CARRIED_SMALL if facts.small else CARRIED_ATTENTION if facts.attention else CARRIED
    return NEW * factor, (NEW if is_drawn(profile, facts) else carried) * factor


def _new_rate(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    return rates_of(training.optimizer, profile, facts)[0], f"for new layers, by {training.optimizer}"


def _carried_rate(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if is_drawn(profile, facts):
        return rates_of(training.optimizer, profile, facts)[1], "as new layers: all weights are random"
    why = (
        "a small network's features have far to go"
        if facts.small
        else "attention wants small steps"
        if facts.attention
        else "low, so that the source's features last"
    )
    return rates_of(training.optimizer, profile, facts)[1], f"for carried layers: {why}"


def _decay(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if profile.has_own_penalty:
        return 0.0, f"{profile.name} has its own penalty on the weights"
    if training.optimizer == "adamw":
        strong = is_drawn(profile, facts) and not facts.small
        return (0.05, "decoupled; random weights of a large network") if strong else (0.01, "decoupled")
    return {"sgd": 1e-4, "gd": 0.0}.get(training.optimizer, 1e-5), f"in the gradient of {training.optimizer}"


def _augment(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    side = min(facts.image_shape[1:])
    if LABEL_TYPES[facts.task].is_numeric:
        return "shift", "crops and mirrors would change the values"
    if max(facts.image_shape[1:]) < SMALL_IMAGE:
        return "shift", f"images of {side} pixels, which mirrors may change the meaning of"
    return "crop", f"images of {side} pixels"


def _mixup(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    return _mixed(facts) or (0.1, f"{facts.images:,} images, from {MIXED_FROM:,} on")


def _cutmix(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if LABEL_TYPES[facts.task].is_numeric:
        return 0.0, "no part of an image has a part of its value"
    off = _mixed(facts)
    if off is None and (training.epochs or 0) < LONG:
        return 0.0, f"under {LONG} epochs"
    return off or (1.0, f"{facts.images:,} images and {training.epochs} epochs")


def _mixed(facts: RecipeInput) -> Chosen | None:
    if facts.small:
        return 0.0, "a small network underfits rather"
    return None if facts.images >= MIXED_FROM else (0.0, f"{facts.images:,} images, under {MIXED_FROM:,}")


def _smoothing(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if not LABEL_TYPES[facts.task].is_class:
        return 0.0, f"{facts.task} has no one class to take from"
    if profile.trains == "head":
        return 0.0, "folds choose how its head is held down"
    if facts.classes < 10:
        return 0.0, f"{facts.classes} classes, under 10"
    return 0.1, f"{facts.classes} classes"


def _average(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    a_pass = 1 if training.optimizer == "gd" else math.ceil(facts.images / training.batch_size)
    steps = (training.epochs or 1) * a_pass
    if steps < AVERAGED_FROM:
        return 0.0, f"{steps} steps, under {AVERAGED_FROM}"
    return min(0.9998, round(1 - 20 / steps, 4)), f"over about a twentieth of {steps:,} steps"


def _patience(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if facts.val < PATIENT_FROM:
        return 0, f"{facts.val} validation images of the rarest class, under {PATIENT_FROM}: the last weights are kept"
    return (
        max(10, math.ceil((training.epochs or 1) / 2)),
        f"looks of {training.epochs}, {facts.val} validation images of the rarest class: the best weights are kept",
    )


def _balance(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    if not LABEL_TYPES[facts.task].is_class:
        return "none", f"{facts.task} has no classes to balance"
    if facts.ratio < WEIGHTS_FROM:
        return "none", f"largest class {facts.ratio:.1f} times the smallest, under {WEIGHTS_FROM:g}"
    sampler = profile.has_own_loss or (facts.ratio >= SAMPLER_FROM and profile.trains != "head")
    why = f"largest class {facts.ratio:.1f} times the smallest"
    return ("sampler" if sampler and training.optimizer != "gd" else "weights"), why


def _resolution(training: Training, profile: TrainingProfile, facts: RecipeInput) -> Chosen:
    return facts.side or min(facts.image_shape[1:]), "pixels, the shorter side of the network's input"


CHOICES: dict[str, Choice] = {
    "epochs": _epochs,
    "learning_rate": _new_rate,
    "carried_rate": _carried_rate,
    "weight_decay": _decay,
    "augment": _augment,
    "mixup": _mixup,
    "cutmix": _cutmix,
    "label_smoothing": _smoothing,
    "ema": _average,
    "patience": _patience,
    "balance": _balance,
    "resolution": _resolution,
}
"""Functions by field of `Training`, in order; later ones may depend on the values chosen by earlier ones."""
