"""`l2`: every layer is transferred and trained, with weight decay, by the optimizer or in the loss.

Decoupled from the gradient it is AdamW's (Loshchilov and Hutter 2019); in the loss it is the articles' lambda |w|^2,
the ridge (Krogh and Hertz 1992).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import NotNegative, StrategyOptions, Training
from graftline.strategies.record import Strategy
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class L2(StrategyOptions):
    """All layers transferred and trained, with weight decay."""

    name: Literal["l2"] = "l2"
    strength: NotNegative = 0.01
    """Weight decay; if it is not decoupled, lambda of loss + lambda |w|^2."""
    decoupled: bool = True
    """Decay separate from the gradient (AdamW) rather than in the loss."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers with this strategy's decay, which replaces `training.weight_decay` and `l2`.

    Decoupled, it acts on matrices and kernels, not on biases and norm layers; in the loss, on all trained weights.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all

    options = inputs.asked(L2)
    inputs_with_decay = replace(inputs, training=with_decay(inputs.training, options))
    trained = train_all(inputs_with_decay, carried(inputs_with_decay, head=True))
    return replace(trained, notes=[*trained.notes, _describe(options, inputs.training, len(inputs.train))])


def with_decay(training: Training, options: L2) -> Training:
    """Returns a training with the strategy's weight decay instead of its own."""
    if options.decoupled:
        return training.model_copy(update={"weight_decay": options.strength, "l2": 0.0})
    return training.model_copy(update={"weight_decay": 0.0, "l2": options.strength})


def _describe(options: L2, training: Training, images: int) -> str:
    if not options.decoupled:
        return (
            f"lambda {options.strength:g} in the loss, a mean over images; over a sum of {images}, as in the "
            f"articles, it is {images * options.strength:g}"
        )
    if training.optimizer == "adamw":
        return f"weight decay {options.strength:g}, decoupled from the gradient"
    return f"weight decay {options.strength:g} in the gradient: {training.optimizer} has no decoupled one"


STRATEGY = Strategy(
    L2,
    train,
    TrainingProfile(has_own_penalty=True),
    not_raced="is the recipe's weight decay",
    examples=(L2(), L2(decoupled=False)),
)
