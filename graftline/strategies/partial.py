"""`partial`: the first layers are transferred and frozen, the others are trained (Yosinski et al. 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Partial(StrategyOptions):
    """First layers transferred and frozen, the others trained."""

    name: Literal["partial"] = "partial"
    carry: Annotated[int, Field(ge=0)] | str | None = None
    """Layers taken from the source: how many from the input, or the name of the last one; by default all."""
    freeze: Annotated[int, Field(ge=0)] | str | None = None
    """Layers not trained, as a number or a name too; by default half of them."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Transfers the first `carry` layers, freezes the first `freeze` of them, trains the others and the head.

    Other layers are reinitialized and listed; they and the head train at the rate of new layers.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer, or more layers are to be frozen than are transferred.
        DivergedError: The loss diverged.
    """
    from graftline.runtime.errors import RefusedError
    from graftline.strategies.weights.carry import carried, place_of
    from graftline.strategies.weights.fitting import train_groups
    from graftline.training.loop.freezing import freeze
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(Partial)
    start = carried(inputs, options.carry, head=True)
    names = [name for name, _ in start.layers]
    half = min(len(names) // 2, start.count)
    frozen = half if options.freeze is None else place_of(options.freeze, names, "freeze")
    if frozen > start.count:
        raise RefusedError(
            f"strategies.partial.freeze: {options.freeze!r} freezes {frozen} layers, {start.count} are "
            "transferred; expected at most those, because frozen random layers learn nothing"
        )
    modules = [module for _, module in start.layers]
    freeze(modules[:frozen])
    rate = rates(inputs.training)
    groups = [
        parameter_group([start.network.head], rate.carried if start.head else rate.new),
        parameter_group(modules[start.count :], rate.new),
        parameter_group(modules[frozen : start.count], rate.carried),
    ]
    _, trained = train_groups(inputs, start.network, start.contract, groups)
    return start.result(trained, f"{start.count} of {len(names)} layers transferred, {frozen} frozen")


STRATEGY = Strategy(
    Partial, train, not_raced="is between `feature` and `staged`", examples=(Partial(), Partial(carry=1, freeze=1))
)
