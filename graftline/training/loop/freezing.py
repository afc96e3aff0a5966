"""Frozen is frozen: no gradient, and eval mode, so that running statistics stand still and dropout is off."""

from collections.abc import Iterable

from torch import nn

from graftline.models.network import Network


def freeze(modules: Iterable[nn.Module]) -> None:
    """Takes some modules' weights out of training; `train_mode` then keeps their statistics still too."""
    for module in modules:
        module.requires_grad_(False)


def thaw(modules: Iterable[nn.Module]) -> None:
    """Puts some modules' weights back into training."""
    for module in modules:
        module.requires_grad_(True)


def train_mode(network: Network) -> None:
    """Puts what is trained into training mode and what is frozen into eval mode.

    In the backbone, a part is frozen where it has weights and none is trained. A part without weights (dropout)
    is frozen where no trained weight stands before it. A batch norm is in training mode only where its scale is
    trained: with its bias alone in training (`bitfit`) its statistics stand still.
    """
    network.train()
    reached = False
    for part in network.backbone.modules():
        weights = list(part.parameters())
        if any(weight.requires_grad for weight in part.parameters(recurse=False)):
            reached = True
        trained = any(weight.requires_grad for weight in weights)
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.affine:
            trained = part.weight.requires_grad
        if not trained and (weights or not reached):
            part.eval()
    if not any(weight.requires_grad for weight in network.head.parameters()):
        network.head.eval()


def trained_parameters(network: nn.Module) -> int:
    """Returns how many numbers are trained."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
