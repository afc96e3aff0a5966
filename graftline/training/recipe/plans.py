"""A training with nothing left open, and what it will cost."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from graftline.config import Training
from graftline.training.profile import TrainingProfile
from graftline.training.recipe.choices import ADAPTIVE, CARRIED, CHOICES, NEW, head_iterations
from graftline.training.recipe.facts import RecipeInput

HEAD_ONLY = ("epochs", "balance", "resolution")
"""Settings that a head on frozen features takes."""
RATES = ("learning_rate", "carried_rate")
OWN = {"learning_rate": None, "carried_rate": None, "rate_factor": 1.0, "ema": 0.0, "patience": 0}
"""Of the control: rate and end are its own."""


@dataclass(frozen=True)
class Rates:
    """Peak learning rates."""

    new: float
    """Of layers with weights drawn anew."""
    carried: float
    """Of layers with a source's weights."""


def rates(training: Training) -> Rates:
    """Returns the peak rates, times `rate_factor`; of a training that was not resolved, those of large networks."""
    factor = 1 if training.optimizer in ADAPTIVE else 10
    new, carried = training.learning_rate, training.carried_rate or training.learning_rate
    return Rates((new or NEW * factor) * training.rate_factor, (carried or CARRIED * factor) * training.rate_factor)


def resolve(training: Training, profile: TrainingProfile, facts: RecipeInput) -> tuple[Training, list[str]]:
    """Chooses all that a training leaves open.

    Args:
        training: As configured; what it sets stays.
        profile: How the strategy trains; the default for a pretraining.
        facts: Of the data and the network.

    Returns:
        The training with nothing None that a recipe chooses (0 or `none` where off), and a sentence for each choice.
        If only a head is trained, the epochs are its passes, which a smaller number in the config does not cut: the
        head is trained to convergence. A configured learning rate is that of transferred layers too, unless they have
        their own.
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
    """Returns how the control is trained, and why.

    Its optimizer is the candidates' where that is adaptive; else AdamW, which the control's rates are made for: a weak
    optimizer must not make a weak opponent. No rate of its own: it finds one. No patience but the control's own, which
    keeps its best weights; so no average of weights either.

    Args:
        training: The candidates', as configured.
        longest: Presentations of the longest candidate.
        facts: Of the data and of the candidates' network: both see images changed in the same ways.
    """
    optimizer = training.optimizer if training.optimizer in ADAPTIVE else "adamw"
    passes, first = control_length(longest, facts.images)
    found, why = resolve(
        training.model_copy(update={"optimizer": optimizer}), TrainingProfile(), replace(facts, carried=False)
    )
    shared = [line for name, line in zip(CHOICES, why, strict=True) if name not in OWN and name != "epochs"]
    return found.model_copy(update={**OWN, "epochs": passes}), [first, *shared]


def control_length(longest: int, images: int) -> tuple[int, str]:
    """Returns the control's least passes over so many images, and the sentence on them, the first of its recipe."""
    passes = max(1, math.ceil(longest / max(1, images)))
    shown = f"the longest candidate shows {longest:,} images"
    return passes, f"at least {passes} epochs: {shown}; rate and end by validation"


def cut_short(why: list[str], epochs: int, reason: str) -> list[str]:
    """Returns a recipe's sentences, that on the epochs said anew."""
    return [_sentence("epochs", epochs, reason) if re.match(r"\d+ epochs: ", line) else line for line in why]


def examples_seen(profile: TrainingProfile, training: Training, images: int) -> int:
    """Returns the maximum number of training images seen, each view counted.

    Args:
        profile: How the strategy trains.
        training: Resolved.
        images: Size of the training split.
    """
    head_epochs = _epochs(training) if profile.trains == "head" else head_iterations(images)
    return head_epochs * profile.feature_passes * images + computed(profile, training, images)


def computed(profile: TrainingProfile, training: Training, images: int) -> int:
    """Returns how many of these images go through the network with gradients: a training's time depends on it.

    Args:
        profile: How the strategy trains.
        training: Resolved.
        images: Size of the training split.
    """
    return _epochs(training) * profile.passes_per_epoch * images if profile.trains == "network" else 0


def _epochs(training: Training) -> int:
    if training.epochs is None:
        raise ValueError("training.epochs is None: resolve the training first")
    return training.epochs
