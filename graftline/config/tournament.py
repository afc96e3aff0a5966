"""Knobs of the tournament: what races, and what it may cost."""

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field

from graftline.config.base import Count, Positive, Settings
from graftline.config.strategies import (
    BSS,
    L2,
    L2SP,
    BitFit,
    CoTuning,
    Delta,
    Distill,
    Feature,
    Full,
    Lora,
    Partial,
    Staged,
    StochNorm,
    Strategy,
    Structure,
    Wise,
    Zero,
)


class Auto(Settings):
    """Strategies, learning rates and lengths that fit the sources, in a tournament."""

    name: Literal["auto"] = "auto"


Asked = Annotated[
    Zero
    | Feature
    | Partial
    | Staged
    | Full
    | Structure
    | L2
    | L2SP
    | Delta
    | BSS
    | StochNorm
    | CoTuning
    | Lora
    | BitFit
    | Wise
    | Distill
    | Auto,
    Field(discriminator="name"),
]
"""What a config lists under `strategies`."""


class Budget(Settings):
    """What a tournament may cost; a plain number means presentations."""

    examples_seen: Count | None = Field(None, validation_alias=AliasChoices("examples_seen", "presentations"))
    """Images shown by all its trainings together, each time counted; the control, the folds that finalists are scored
    in and further seeds come on top. By default as many as five full trainings a source."""
    minutes: Positive | None = None
    """Cap on the time of its trainings, added up; what does not fit is left out or ends early."""


def long_budget(value: Any) -> Any:
    """Turns a plain number into a section."""
    return {"examples_seen": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


def named(strategies: list[Asked]) -> list[Strategy]:
    """Returns the strategies that were asked for by name."""
    return [each for each in strategies if not isinstance(each, Auto)]
