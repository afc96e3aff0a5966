"""Compiling the trained network with torch.compile."""

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graftline.runtime.errors import RefusedError

COMPILERS = ("g++", "c++", "clang++")


def compile_forward(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns a forward function that torch.compile compiles at its first call; it shares the network's weights.

    Raises:
        RefusedError: No C++ compiler is installed; torch.compile needs one.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS)):
        raise RefusedError(
            f"compile: torch.compile needs a C++ compiler; none of {', '.join(COMPILERS)} is on the "
            "PATH; install one, set CXX, or remove `compile` from the config"
        )
    forward: Callable[[Tensor], Tensor] = torch.compile(network)
    return forward
