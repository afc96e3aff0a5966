"""`full`: every layer is carried over and trained, the articles' complete parameter transfer (Yosinski et al. 2014)."""

from dataclasses import replace

from graftline.strategies.carry import carried, train_groups
from graftline.training.optimizer import group
from graftline.training.recipe import rates
from graftline.training.task import Task, Trained


def train(task: Task) -> Trained:
    """Trains all layers, the carried ones at a lower rate than a new head.

    The head is carried too where each target class has its namesake in the source.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    start = carried(task, head=True)
    rate = rates(task.training)
    groups = [group([start.network.head], rate.carried if start.head else rate.new),
              group([start.network.backbone], rate.carried)]
    _, trained = train_groups(task, start.network, start.contract, groups)
    return replace(trained, reinitialised=start.transferred.reinitialised, dropped=start.transferred.dropped,
                   notes=start.notes)
