"""Freezing layers: no gradients, and eval mode, so that running statistics are fixed and dropout is off."""

from collections.abc import Iterable

from torch import nn

from graftline.models.network import Network


def freeze(modules: Iterable[nn.Module]) -> None:
    """Disables gradients of the modules' weights; `train_mode` then also keeps their running statistics fixed."""
    for module in modules:
        module.requires_grad_(False)


def thaw(modules: Iterable[nn.Module]) -> None:
    """Enables gradients of the modules' weights."""
    for module in modules:
        module.requires_grad_(True)


def train_mode(network: Network) -> None:
    """Sets trained modules to training mode and frozen modules to eval mode.

    In the backbone, a module with weights is frozen if none of them is trained. A module without weights (dropout) is
    frozen if no trained weight precedes it. Batch norm is in training mode only if its scale is trained: with only
    the bias trained (`bitfit`), its running statistics are fixed.
    """
    network.train()
    is_after_trained = False
    for module in network.backbone.modules():
        weights = list(module.parameters())
        if any(weight.requires_grad for weight in module.parameters(recurse=False)):
            is_after_trained = True
        is_trained = any(weight.requires_grad for weight in weights)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            is_trained = module.weight.requires_grad
        if not is_trained and (weights or not is_after_trained):
            module.eval()
    if not any(weight.requires_grad for weight in network.head.parameters()):
        network.head.eval()


def trained_parameters(network: nn.Module) -> int:
    """Returns the number of trained parameters."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
