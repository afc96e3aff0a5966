"""A training with nothing left open, and what it will cost."""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from graftline.config import Feature, Staged, Strategy, Training, Zero
from graftline.config.strategies import Distill, Wise
from graftline.training.recipe.choices import ADAPTIVE, CARRIED, CHOICES, NEW, head_iterations
from graftline.training.recipe.facts import RecipeInput
from graftline.training.recipe.student import PATIENT

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


def resolve(training: Training, strategy: Strategy | None, facts: RecipeInput) -> tuple[Training, list[str]]:
    """Chooses all that a training leaves open.

    Args:
        training: As configured; what it sets stays.
        strategy: What will be trained; None for a pretraining.
        facts: Of the data and the network.

    Returns:
        The training with nothing None that a recipe chooses (0 or `none` where off), and a sentence for each choice.
        For `feature` the epochs are the head's passes, which a smaller number in the config does not cut: its head
        is trained to convergence. A learning rate set by hand is that of carried layers too, unless they have theirs.
    """
    if training.learning_rate is not None and training.carried_rate is None:
        training = training.model_copy(update={"carried_rate": training.learning_rate})
    why = []
    for name, choose in CHOICES.items():
        chosen, reason = choose(training, strategy, facts)
        given = getattr(training, name)
        if given is not None and not (name == "epochs" and isinstance(strategy, Feature) and given < chosen):
            chosen, reason = given, "set by hand"
        training = training.model_copy(update={name: chosen})
        if name in RATES and training.rate_factor != 1:
            chosen, reason = chosen * training.rate_factor, f"{reason}, times {training.rate_factor:.2g}"
        if name in _told(strategy):
            why.append(_sentence(name, chosen, reason))
    return training, why


def _told(strategy: Strategy | None) -> Collection[str]:
    if isinstance(strategy, Zero):
        return ()
    if isinstance(strategy, Feature):
        return HEAD_ONLY if strategy.views == 1 else (*HEAD_ONLY, "augment")
    return CHOICES


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
    found, why = resolve(training.model_copy(update={"optimizer": optimizer}), None, replace(facts, carried=False))
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


def examples_seen(strategy: Strategy, training: Training, images: int) -> int:
    """Returns how many images a candidate will show to gradients, at most; each view of one counts.

    Args:
        strategy: What is trained.
        training: Resolved.
        images: In the training split.
    """
    if isinstance(strategy, Feature):
        return _epochs(training) * strategy.views * images
    head = head_iterations(images) if isinstance(strategy, Staged | Wise) else 0
    return head * images + computed(strategy, training, images)


def computed(strategy: Strategy, training: Training, images: int) -> int:
    """Returns how many of these images go through the network with gradients: what a training's time follows from.

    Args:
        strategy: What is trained.
        training: Resolved.
        images: In the training split.
    """
    if isinstance(strategy, Zero | Feature):
        return 0
    student = PATIENT if isinstance(strategy, Distill) else 0  # beside its teacher's
    return _epochs(training) * (1 + student) * images


def feature_passes(strategy: Strategy) -> int:
    """Returns how often all images go through the frozen network; a head's passes over what is cached take no time."""
    if isinstance(strategy, Feature):
        return strategy.views
    return 1 if isinstance(strategy, Staged | Wise) else 0


def _epochs(training: Training) -> int:
    if training.epochs is None:
        raise ValueError("training.epochs: resolve it first")
    return training.epochs
