"""Resolved training settings and the cost of a training."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from graftline.config import Training
from graftline.training.profile import TrainingProfile
from graftline.training.recipe.choices import ADAPTIVE, CARRIED, CHOICES, NEW, head_iterations
from graftline.training.recipe.facts import RecipeInput

HEAD_ONLY = ("epochs", "balance", "resolution")
"""Settings that apply to a head on frozen features."""
RATES = ("learning_rate", "carried_rate")
"""Settings that `rate_factor` multiplies."""
OWN = {"learning_rate": None, "carried_rate": None, "rate_factor": 1.0, "ema": 0.0, "patience": 0}
"""Values of the settings that the control replaces with its own learning rate search and early stopping."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates."""

    new: float
    """Peak learning rate of new layers."""
    carried: float
    """Peak learning rate of transferred layers."""


def rates(training: Training) -> Rates:
    """Returns the peak learning rates times `rate_factor`; unset rates default to those of large networks."""
    factor = 1 if training.optimizer in ADAPTIVE else 10
    new, carried = training.learning_rate, training.carried_rate or training.learning_rate
    return Rates((new or NEW * factor) * training.rate_factor, (carried or CARRIED * factor) * training.rate_factor)


def resolve(training: Training, profile: TrainingProfile, facts: RecipeInput) -> tuple[Training, list[str]]:
    """Chooses a value for each setting that the config leaves unset.

    Args:
        training: Configured settings; values that are set do not change.
        profile: Profile of the strategy; the default profile for pretraining.
        facts: Properties of the data and the network.

    Returns:
        The training settings, where each setting chosen by a recipe has a value (0 or `none` if off), and a sentence
        for each choice. If only a head is trained, the epochs are its passes over cached features; a smaller number in
        the config is ignored, because the head is trained to convergence. A configured learning rate also applies to
        transferred layers, unless `carried_rate` is set.
    """
    if training.learning_rate is not None and training.carried_rate is None:
        training = training.model_copy(update={"carried_rate": training.learning_rate})
    why = []
    for name, choose in CHOICES.items():
        chosen, reason = choose(training, profile, facts)
        given = getattr(training, name)
        if given is not None and not (name == "epochs" and profile.trains == "head" and given < chosen):
            chosen, reason = given, "set by hand"
        training = training.model_copy(update={name: chosen})
        if name in RATES and training.rate_factor != 1:
            chosen, reason = chosen * training.rate_factor, f"{reason}, times {training.rate_factor:.2g}"
        if name in _reported(profile):
            why.append(_sentence(name, chosen, reason))
    return training, why


def _reported(profile: TrainingProfile) -> Collection[str]:
    if profile.trains == "head":
        return HEAD_ONLY if profile.views == 1 else (*HEAD_ONLY, "augment")
    return CHOICES if profile.trains == "network" else ()


def _sentence(name: str, value: object, why: str) -> str:
    words = name.replace("_", " ")
    if name in ("epochs", "patience"):
        return f"{value} {'epochs' if name == 'epochs' else 'looks of patience'}: {why}"
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{words} {'off' if value in (0, 'none') else shown}: {why}"


def control_training(training: Training, longest: int, facts: RecipeInput) -> tuple[Training, list[str]]:
    """Returns the training settings of the control, and the reasons for them.

    The control uses the candidates' optimizer if it is adaptive, and AdamW otherwise: the control's learning rates are
    meant for adaptive optimizers, and the control must be a strong baseline. No learning rate is set, because the
    control searches for one. The control has its own early stopping, which keeps the best weights, so `patience` and
    `ema` are off.

    Args:
        training: Configured settings of the candidates.
        longest: Number of training images seen by the longest candidate.
        facts: Properties of the data and of the candidates' network; both use the same augmentations.
    """
    optimizer = training.optimizer if training.optimizer in ADAPTIVE else "adamw"
    passes, first = control_length(longest, facts.images)
    found, why = resolve(
        training.model_copy(update={"optimizer": optimizer}), TrainingProfile(), replace(facts, carried=False)
    )
    shared = [line for name, line in zip(CHOICES, why, strict=True) if name not in OWN and name != "epochs"]
    return found.model_copy(update={**OWN, "epochs": passes}), [first, *shared]


def control_length(longest: int, images: int) -> tuple[int, str]:
    """Returns the control's minimum number of epochs, and the first sentence of its recipe, which states it.

    Args:
        longest: Number of training images seen by the longest candidate.
        images: Number of images in the training split.
    """
    passes = max(1, math.ceil(longest / max(1, images)))
    shown = f"the longest candidate shows {longest:,} images"
    return passes, f"at least {passes} epochs: {shown}; rate and end by validation"


def cut_short(why: list[str], epochs: int, reason: str) -> list[str]:
    """Returns a recipe's sentences with the one on the epochs replaced."""
    return [_sentence("epochs", epochs, reason) if re.match(r"\d+ epochs: ", line) else line for line in why]


def examples_seen(profile: TrainingProfile, training: Training, images: int) -> int:
    """Returns the maximum number of training images seen, each view counted.

    Args:
        profile: Profile of the strategy.
        training: Resolved training settings.
        images: Number of images in the training split.
    """
    head_epochs = _epochs(training) if profile.trains == "head" else head_iterations(images)
    return head_epochs * profile.feature_passes * images + computed(profile, training, images)


def computed(profile: TrainingProfile, training: Training, images: int) -> int:
    """Returns the number of training images seen with gradients, which determines the training time.

    Args:
        profile: Profile of the strategy.
        training: Resolved training settings.
        images: Number of images in the training split.
    """
    return _epochs(training) * profile.passes_per_epoch * images if profile.trains == "network" else 0


def _epochs(training: Training) -> int:
    if training.epochs is None:
        raise ValueError("training.epochs is None: resolve the training first")
    return training.epochs
