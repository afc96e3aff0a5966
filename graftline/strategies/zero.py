"""`zero`: the source model, head included, without training; its classes are mapped to the target's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Zero(StrategyOptions):
    """The source model, head included, as it is."""

    name: Literal["zero"] = "zero"


def train(inputs: StrategyInput) -> StrategyResult:
    """Adds a fixed class map after the source's head; trains nothing.

    Raises:
        NotApplicableError: The source has no trained head, or either task has no classes.
    """
    from graftline.strategies.methods.source_classes import map_source_classes

    return map_source_classes(inputs)


STRATEGY = Strategy(
    Zero,
    train,
    TrainingProfile(trains="nothing"),
    needs_source_head=True,
    tasks=("classification",),
    variants=(TournamentVariant(1, "no training at all if the source knows the classes", needs_shared_classes=True),),
)
