"""`partial`: the first layers are carried over and frozen, the rest is trained (Yosinski et al. 2014)."""

from dataclasses import replace

from graftline.config import Partial
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import carried, place_of, train_groups
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze
from graftline.training.loop.optimizer import parameter_group
from graftline.training.recipe import rates


def train(task: StrategyInput) -> StrategyResult:
    """Carries the first `carry` layers, freezes the first `freeze` of them, trains the others and the head.

    Layers that are not carried are drawn anew and named; they and the head train at the rate of new layers.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer, or a layer is to be frozen that is not carried.
        DivergedError: The loss did.
    """
    options = task.asked(Partial)
    start = carried(task, options.carry, head=True)
    names = [name for name, _ in start.layers]
    frozen = len(names) // 2 if options.freeze is None else place_of(options.freeze, names, "freeze")
    if options.freeze is None:
        frozen = min(frozen, start.count)
    if frozen > start.count:
        raise RefusedError(
            f"strategies.partial.freeze: {options.freeze!r} freezes {frozen} layers, {start.count} are "
            "carried over; expected at most those, for frozen random layers learn nothing"
        )
    modules = [module for _, module in start.layers]
    freeze(modules[:frozen])
    rate = rates(task.training)
    groups = [
        parameter_group([start.network.head], rate.carried if start.head else rate.new),
        parameter_group(modules[start.count :], rate.new),
        parameter_group(modules[frozen : start.count], rate.carried),
    ]
    _, trained = train_groups(task, start.network, start.contract, groups)
    return replace(
        trained,
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[*start.notes, f"{start.count} of {len(names)} layers carried, {frozen} frozen"],
    )
