"""`structure`: the source's architecture, changed where asked, with weights drawn anew."""

from dataclasses import replace

from graftline.config import Structure
from graftline.models.structure import architecture_of
from graftline.strategies.weights.carry import fresh, train_groups
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.optimizer import parameter_group
from graftline.training.recipe import rates


def train(task: StrategyInput) -> StrategyResult:
    """Trains all layers from random weights.

    Raises:
        RefusedError: The backbone cannot be changed as asked.
        DivergedError: The loss did.
    """
    options = task.asked(Structure)
    architecture = {**task.start.manifest.architecture, **architecture_of(options)}
    network = fresh(task, architecture)
    _, trained = train_groups(task, network, task.contract, [parameter_group([network], rates(task.training).new)])
    words = ", ".join(f"{key} {value}" for key, value in architecture.items())
    return replace(
        trained,
        architecture=architecture,
        reinitialised=list(network.state_dict()),
        dropped=list(task.start.network.state_dict()),
        notes=[f"architecture changed: {words}" if words else "architecture as the source's"],
    )
