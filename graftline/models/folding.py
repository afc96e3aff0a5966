"""Folding of batch norm into convolutions, which makes frozen networks of many small layers up to twice as fast."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from graftline.models.input_contract import InputContract

EQUAL = 1e-3
"""Maximum change relative to the largest output; 1e-6 is typical, and a larger change means an incorrect trace."""


def folded(module: nn.Module, contract: InputContract, device: torch.device) -> nn.Module:
    """Returns a copy of a module in which batch norms are folded into the preceding convolutions.

    In eval mode, batch norm applies a factor and a shift per channel, which can be merged into the weights and the
    bias (Jacob et al. 2018, section 3.2).

    Args:
        module: Module in eval mode; not modified.
        contract: Its input contract.
        device: The module's device.

    Returns:
        The copy, or the module itself if it has no batch norm, cannot be traced, or the outputs of the copy differ.
    """
    if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    images = torch.rand(
        2, contract.channels, contract.height, contract.width, generator=torch.Generator().manual_seed(0)
    ).to(device)
    try:
        found = fuse(module)
        # The error of TF32, a GPU's default for convolutions, would exceed the difference to be measured.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            expected = module(images)
            same = float((found(images) - expected).abs().max()) <= EQUAL * float(expected.abs().max())
    except Exception:  # a network's code can raise any error during tracing
        return module
    return found if same else module
