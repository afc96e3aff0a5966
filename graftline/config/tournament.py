"""Settings of the tournament: what it may cost."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AliasChoices, Field

from graftline.config.base import Count, Positive, Settings
from graftline.config.strategies import StrategyChoice, StrategyOptions


class Auto(StrategyOptions):
    """Strategies, learning rates and lengths that fit the sources, in a tournament."""

    name: Literal["auto"] = "auto"


AUTO = Auto().name


class Budget(Settings):
    """What a tournament may cost; a plain number means images seen in training."""

    examples_seen: Count | None = Field(None, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Training images seen by all its trainings together, counted once per epoch; the control, the folds that score
    finalists and further seeds are extra. By default as many as five full trainings a source."""
    minutes: Positive | None = None
    """Limit on the total time of its trainings; trainings that do not fit are left out or end early."""


def expand_budget(value: Any) -> Any:
    """Turns a plain number into a section."""
    return {"examples_seen": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


def without_auto(choices: Sequence[StrategyChoice]) -> list[StrategyChoice]:
    """Returns the strategies that are listed by name."""
    return [choice for choice in choices if choice.name != AUTO]
