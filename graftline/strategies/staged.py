"""`staged`: the head to convergence first, then the backbone's layers from the top, at decayed learning rates.

Linear probing before fine-tuning keeps the first steps from distorting the features (LP-FT, Kumar et al. 2022); the
layers join from the top, lower ones at lower rates (ULMFiT, Howard and Ruder 2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Staged(StrategyOptions):
    """The head to convergence, then layers from the top with decayed rates."""

    name: Literal["staged"] = "staged"
    stages: Annotated[int, Field(ge=1, le=8)] = 3
    """In how many steps the backbone's layers join, from the top."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate from one group of layers to the next one below."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Fits the head, then thaws one group of layers a stage; each stage has its share of the epochs.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from graftline.strategies.methods.stages import layers_from_top, thaw_by_stages
    from graftline.strategies.weights.features import converged_head
    from graftline.training.interface import StrategyResult, predictor
    from graftline.training.loop.freezing import trained_parameters
    from graftline.training.recipe import head_iterations, rates

    options = inputs.asked(Staged)
    fit = converged_head(inputs, head_iterations(len(inputs.train)))
    start, source = fit.start, inputs.start.manifest
    stages = min(options.stages, inputs.training.epochs or 1)  # each has an epoch, so that every layer joins
    groups = layers_from_top([module for _, module in start.layers], stages)
    history, seen, last = thaw_by_stages(inputs, fit, groups, options.decay)
    sizes = ", ".join(str(len(modules)) for modules in groups)
    trained = StrategyResult(
        start.network,
        start.contract,
        source.small,
        inputs.head,
        predictor(start.network, start.contract, inputs.device),
        architecture=source.architecture,
        history=history,
        examples_seen=seen,
        trained_parameters=trained_parameters(start.network),
        learning_rate=rates(inputs.training).carried,
        over=last.is_finished,
        diverged=last.diverged,
        numerics=last.stepper.note,
    )
    return start.result(trained, fit.fitted.note, f"layers that joined, stage by stage: {sizes}")


STRATEGY = Strategy(
    Staged,
    train,
    TrainingProfile(uses_features=True),
    variants=(
        TournamentVariant(
            4,
            "head first, then the layers: preserves features with few labels or a distant source (Kumar et al. 2022)",
        ),
        TournamentVariant(11, "head first, then the layers, with larger steps", rate_factor=3.0),
        TournamentVariant(19, "head first, then the layers, with smaller steps", rate_factor=1 / 3),
    ),
)
