"""A penalty on the distance of weights from the source's (L2-SP, Li et al. 2018)."""

from collections.abc import Collection

from torch import Tensor, nn

from graftline.models.network import Network
from graftline.training.batches.losses import squared_norm
from graftline.training.loop.stepper import Batch, Penalty


def distance_to_source(network: Network, carried: Collection[str], alpha: float, beta: float) -> Penalty:
    """Returns the penalty alpha/2 |w - w_0|^2 + beta/2 |v|^2.

    w are the transferred weights, including those of norm layers, and v the new ones.

    Args:
        network: Network after the transfer; its current weights are w_0.
        carried: Names of the transferred weights.
        alpha: Strength of the penalty on transferred weights.
        beta: Strength of the penalty on new weights.
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
