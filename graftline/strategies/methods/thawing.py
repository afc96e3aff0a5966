"""Which weights of the backbone are trained: biases, norm layers, or groups of layers stage by stage."""

from collections.abc import Iterator

from torch import nn

from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.training.loop.freezing import freeze

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def thaw_only(network: Network, what: str, backbone: str) -> list[nn.Parameter]:
    """Freezes the backbone but for its biases or its norm layers.

    Args:
        network: Changed in place; its head stays trained.
        what: `biases` or `norms`.
        backbone: Its name, for the message.

    Returns:
        The backbone's trained weights.

    Raises:
        RefusedError: There are none.
    """
    freeze([network.backbone])
    chosen = list(_biases(network.backbone) if what == "biases" else _norms(network.backbone))
    if not chosen:
        other = "norms" if what == "biases" else "biases"
        raise RefusedError(
            f"strategies.bitfit.train: {backbone} has no {what} to train; expected a backbone with "
            f"some; take `train: {other}`, or feature or partial, which serve every backbone"
        )
    for weight in chosen:
        weight.requires_grad_(True)
    return chosen


def _biases(backbone: nn.Module) -> Iterator[nn.Parameter]:
    for name, weight in backbone.named_parameters():
        last = name.rpartition(".")[2]  # attention calls them in_proj_bias, recurrent units bias_ih_l0
        if weight.dim() == 1 and (last == "bias" or last.startswith("bias_") or last.endswith("_bias")):
            yield weight


def _norms(backbone: nn.Module) -> Iterator[nn.Parameter]:
    for part in backbone.modules():
        if isinstance(part, NORMS):
            yield from part.parameters(recurse=False)
