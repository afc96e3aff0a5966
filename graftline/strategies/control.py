"""The control: the same network from random weights, all layers trained, until it stops improving.

A transfer helps only if it beats the control (He et al. 2019 showed how long the control must train to be fair).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class ControlOptions(StrategyOptions):
    """The same network trained from random weights until it stops improving."""

    name: Literal["control"] = "control"


def train(inputs: StrategyInput) -> StrategyResult:
    """Tries learning rates from the same start, continues with the best, keeps the best weights by validation.

    Raises:
        DivergedError: The loss diverged at every rate.
        RefusedError: No validation images, and none can be held out.
    """
    from graftline.strategies.methods.rate_search import best_trial, length_of, train_until_converged
    from graftline.strategies.weights.carry import fresh
    from graftline.strategies.weights.fitting import usable_val
    from graftline.training.interface import StrategyResult, predictor
    from graftline.training.loop.freezing import trained_parameters

    train_samples, val, notes = usable_val(inputs)
    length = length_of(inputs, len(train_samples))
    trial, tried = best_trial(inputs, fresh(inputs), train_samples, val, length)
    notes += tried
    converged = train_until_converged(inputs, trial, train_samples, val, length, notes)
    loop = trial.monitored.loop
    network = loop.network
    network.load_state_dict(trial.monitored.best)
    network.eval()
    shape = inputs.shape
    return StrategyResult(
        network,
        inputs.contract,
        shape.small,
        inputs.head,
        predictor(network, inputs.contract, inputs.device),
        architecture=shape.architecture,
        backbone=shape.backbone,
        history=trial.monitored.history,
        examples_seen=loop.examples_seen,
        trained_parameters=trained_parameters(network),
        reinitialised=list(network.state_dict()),
        notes=notes,
        learning_rate=trial.rate,
        converged=converged,
    )


STRATEGY = Strategy(
    ControlOptions,
    train,
    TrainingProfile(is_random=True),
    uses_source_weights=False,
    not_raced="every run trains it",
    is_control=True,
)
