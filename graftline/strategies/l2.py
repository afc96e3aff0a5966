"""`l2`: every layer is carried over and trained, |w|^2 held down: weight decay, by the optimizer or in the loss.

Decoupled from the gradient it is AdamW's (Loshchilov and Hutter 2019); in the loss it is the articles' lambda |w|^2,
the ridge (Krogh and Hertz 1992).
"""

from dataclasses import replace

from graftline.config import Training
from graftline.config.strategies import L2
from graftline.strategies import full
from graftline.training.contract import StrategyInput, StrategyResult


def train(task: StrategyInput) -> StrategyResult:
    """Trains all layers under this strategy's decay, which takes the place of `training.weight_decay` and `l2`.

    Decoupled, it acts on matrices and kernels, not on biases and norm layers; in the loss, on all trained weights.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    options = task.asked(L2)
    trained = full.train(replace(task, training=held_down(task.training, options)))
    return replace(trained, notes=[*trained.notes, _told(options, task.training, len(task.train))])


def held_down(training: Training, options: L2) -> Training:
    """Returns a training with the strategy's decay for its own."""
    if options.decoupled:
        return training.model_copy(update={"weight_decay": options.strength, "l2": 0.0})
    return training.model_copy(update={"weight_decay": 0.0, "l2": options.strength})


def _told(options: L2, training: Training, images: int) -> str:
    if not options.decoupled:
        return (
            f"lambda {options.strength:g} in the loss, a mean over images; over a sum of {images}, as in the "
            f"articles, it is {images * options.strength:g}"
        )
    if training.optimizer == "adamw":
        return f"decay {options.strength:g} beside the gradient"
    return f"decay {options.strength:g} in the gradient: {training.optimizer} has no decoupled one"
