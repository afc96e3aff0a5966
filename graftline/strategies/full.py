"""`full`: every layer is carried over and trained, the articles' complete parameter transfer (Yosinski et al. 2014)."""

from collections.abc import Sequence
from dataclasses import replace

from graftline.strategies.weights.carry import Carried, carried, train_groups
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.optimizer import parameter_group
from graftline.training.loop.stepper import Penalty
from graftline.training.recipe import rates


def train(task: StrategyInput) -> StrategyResult:
    """Trains all layers, the carried ones at a lower rate than a new head.

    The head is carried too where each target class has its namesake in the source.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    return train_all(task, carried(task, head=True))


def train_all(
    task: StrategyInput, start: Carried, *, penalties: Sequence[Penalty] = (), decay: bool = True
) -> StrategyResult:
    """Trains all layers of a network that was carried over.

    Args:
        task: What to train.
        start: Changed in place.
        penalties: Added to the loss, batch by batch.
        decay: Whether the optimizer decays weights, as `training.weight_decay` says.
    """
    rate = rates(task.training)
    groups = [
        parameter_group([start.network.head], rate.carried if start.head else rate.new, decay=decay),
        parameter_group([start.network.backbone], rate.carried, decay=decay),
    ]
    _, trained = train_groups(task, start.network, start.contract, groups, penalties=penalties)
    return replace(
        trained,
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=start.notes,
    )
