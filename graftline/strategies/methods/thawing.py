"""Freezing of the backbone except for its biases or norm layers."""

from collections.abc import Iterator

from torch import nn

from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.training.loop.freezing import freeze

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def thaw_only(network: Network, what: str, backbone: str) -> list[nn.Parameter]:
    """Freezes the backbone except for its biases or its norm layers.

    Args:
        network: Network to change in place; its head stays trainable.
        what: `biases` or `norms`.
        backbone: Name of the backbone, for the error message.

    Returns:
        The backbone's trainable parameters.

    Raises:
        RefusedError: The backbone has no such parameters.
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
        last = name.rpartition(".")[2]  # named in_proj_bias in attention and bias_ih_l0 in recurrent layers
        if weight.dim() == 1 and (last == "bias" or last.startswith("bias_") or last.endswith("_bias")):
            yield weight


def _norms(backbone: nn.Module) -> Iterator[nn.Parameter]:
    for part in backbone.modules():
        if isinstance(part, NORMS):
            yield from part.parameters(recurse=False)
