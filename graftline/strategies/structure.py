"""`structure`: the source's architecture, changed where asked, with reinitialized weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import ArchitectureOptions, StrategyOptions
from graftline.strategies.record import Strategy
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Structure(ArchitectureOptions, StrategyOptions):
    """The source's architecture, changed where asked, with reinitialized weights."""

    name: Literal["structure"] = "structure"


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers from random weights.

    Raises:
        RefusedError: The backbone cannot be changed as asked.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from graftline.models.structure import architecture_of
    from graftline.strategies.weights.carry import fresh
    from graftline.strategies.weights.fitting import train_groups
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(Structure)
    architecture = {**inputs.start.manifest.architecture, **architecture_of(options)}
    network = fresh(inputs, architecture)
    _, trained = train_groups(
        inputs, network, inputs.contract, [parameter_group([network], rates(inputs.training).new)]
    )
    changes = ", ".join(f"{key} {value}" for key, value in architecture.items())
    return replace(
        trained,
        architecture=architecture,
        reinitialised=list(network.state_dict()),
        dropped=list(inputs.start.network.state_dict()),
        notes=[f"architecture changed: {changes}" if changes else "architecture as the source's"],
    )


STRATEGY = Strategy(
    Structure,
    train,
    TrainingProfile(is_random=True),
    uses_source_weights=False,
    not_raced="transfers no weights",
)
