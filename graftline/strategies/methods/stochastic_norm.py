"""Batch norm that uses batch or running statistics at random (Kou et al. 2020)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

Norm = nn.BatchNorm1d | nn.BatchNorm2d


class StochasticNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm that normalizes each channel with batch statistics or, at random, with running statistics.

    The choice is drawn independently for each channel and batch. Both branches share scale and shift. The running
    statistics used are those before the batch; they are then updated as in a plain batch norm. In eval mode the layer
    is equivalent to a plain batch norm.
    """

    def __init__(self, plain: Norm, probability: float) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum, plain.affine, plain.track_running_stats)
        self.probability = probability
        # Weights and statistics are shared with `plain`, so that restoring `plain` keeps the trained values.
        self._parameters, self._buffers = plain._parameters, plain._buffers
        self.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:
        """Maps (B, C) or (B, C, ...) to the same shape."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        # Cloned because the other branch updates the statistics in place before the backward pass.
        moving = functional.batch_norm(
            input, self.running_mean.clone(), self.running_var.clone(), self.weight, self.bias, False, 0.0, self.eps
        )
        takes = torch.rand(self.num_features, device=input.device) < self.probability
        return torch.where(takes.view(-1, *[1] * (input.dim() - 2)), moving, super().forward(input))

    def _check_input_dim(self, input: Tensor) -> None:
        pass


@contextmanager
def stochastic(module: nn.Module, probability: float) -> Iterator[None]:
    """Makes a module's batch norms stochastic within a context; names of weights and statistics do not change.

    Args:
        module: Module whose batch norms are replaced in place and restored on exit.
        probability: Probability that a channel uses the running statistics.
    """
    plain = batch_norms(module)
    for name, norm in plain.items():
        _put(module, name, StochasticNorm(norm, probability))
    try:
        yield
    finally:
        for name, norm in plain.items():
            _put(module, name, norm.train(module.get_submodule(name).training))


def batch_norms(module: nn.Module) -> dict[str, Norm]:
    """Returns a module's plain batch norms by name."""
    # Subclasses are excluded: timm's norms with an activation do more than normalize.
    return {
        name: part
        for name, part in module.named_modules()
        if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d) and part.track_running_stats
    }


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, key = name.rpartition(".")
    setattr(module.get_submodule(parent), key, part)
