"""torch.compile for the networks that are trained, where a config asks for it."""

import os
import shutil
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graftline.runtime.errors import RefusedError

COMPILERS = ("g++", "c++", "clang++")


def compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns a module's forward function as torch.compile makes it at its first call; it shares the weights.

    Raises:
        RefusedError: There is no C++ compiler, which torch.compile builds with.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS)):
        raise RefusedError(
            f"compile: torch.compile needs a C++ compiler, and none of {', '.join(COMPILERS)} is on the "
            "PATH; install one, name it in CXX, or leave `compile` out"
        )
    made: Callable[[Tensor], Tensor] = torch.compile(network)
    return made
