"""The penalty that keeps weights near the source's (L2-SP, Li et al. 2018)."""

from collections.abc import Collection

from torch import Tensor, nn

from graftline.models.network import Network
from graftline.training.batches.losses import squared_norm
from graftline.training.loop.stepper import Batch, Penalty


def distance_to_source(network: Network, carried: Collection[str], alpha: float, beta: float) -> Penalty:
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
