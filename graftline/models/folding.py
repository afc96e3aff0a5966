"""Batch norm folded into the convolutions before it: a frozen network of many small layers is up to twice as fast."""

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from graftline.models.input_contract import InputContract

EQUAL = 1e-3
"""Most that an output may change, as a share of the largest one: 1e-6 is usual, more is a network traced wrongly."""


def folded(module: nn.Module, contract: InputContract, device: torch.device) -> nn.Module:
    """Returns a copy in which convolutions do the work of the batch norms that follow them.

    In eval mode batch norm is a factor and a shift a channel, which go into weights and bias (Jacob et al. 2018,
    section 3.2).

    Args:
        module: In eval mode; not changed.
        contract: Of its input.
        device: Where it is.

    Returns:
        The copy, or the module itself, where it has no batch norm, or its code cannot be followed.
    """
    if not any(isinstance(part, nn.BatchNorm2d) for part in module.modules()):
        return module
    images = torch.rand(
        2, contract.channels, contract.height, contract.width, generator=torch.Generator().manual_seed(0)
    ).to(device)
    try:
        found = fuse(module)
        # TF32, a GPU's default for convolutions, would drown what is looked for.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            expected = module(images)
            same = float((found(images) - expected).abs().max()) <= EQUAL * float(expected.abs().max())
    except Exception:  # whatever a network's own code does with the stand-ins that a trace runs on
        return module
    return found if same else module
