"""`l2sp`: every layer is trained, the carried ones held near to the source's weights (L2-SP, Li et al. 2018)."""

from collections.abc import Collection

from torch import Tensor, nn

from graftline.config.strategies import L2SP
from graftline.models.devices import place
from graftline.models.network import Network
from graftline.strategies.full import train_all
from graftline.strategies.weights.carry import carried
from graftline.training.batches.losses import squared_norm
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.stepper import Batch, Penalty


def train(task: StrategyInput) -> StrategyResult:
    """Trains all layers; the optimizer decays none, for the penalty is all the decay there is.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    options = task.asked(L2SP)
    start = carried(task, head=True)
    place(start.network, task.device)
    penalty = near_source(start.network, start.transferred.carried, options.alpha, options.beta)
    return train_all(task, start, penalties=[penalty], decay=False)


def near_source(network: Network, carried: Collection[str], alpha: float, beta: float) -> Penalty:
    """Returns alpha/2 |w - w_0|^2 over carried weights, norm layers' among them, plus beta/2 |w|^2 over new ones.

    Args:
        network: As it was carried over: its present weights are w_0.
        carried: Names of the carried weights.
        alpha: Pull to the source's weights.
        beta: Pull of new weights to 0.
    """
    names = set(carried)
    held: list[tuple[nn.Parameter, Tensor]] = []
    new: list[nn.Parameter] = []
    for key, weight in network.named_parameters():
        if key in names:
            held.append((weight, weight.detach().clone()))
        else:
            new.append(weight)

    def penalty(batch: Batch) -> Tensor:
        pull = alpha / 2 * squared_norm(weight - origin for weight, origin in held)
        return pull + beta / 2 * squared_norm(new) if new else pull

    return penalty
