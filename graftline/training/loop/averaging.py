"""Exponential moving average of the weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all floating-point weights and running statistics of a network.

    The average of values that do not change (frozen weights) equals them bit for bit.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        saved = network.state_dict()
        # The parameters themselves: tensors of a state_dict lose their connection when the memory layout changes.
        self._weights = {
            key: value
            for key, value in (*network.named_parameters(), *network.named_buffers())
            if key in saved and value.is_floating_point()
        }
        self.values = {key: value.detach().clone() for key, value in self._weights.items()}

    def update(self) -> None:
        """Adds the current weights to the average; the decay is lower at first, to discount the initial weights."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.values.values()), list(self._weights.values()), 1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Gives the network the averaged weights inside the context, and its own weights afterwards."""
        own = {key: value.detach().clone() for key, value in self._weights.items()}
        self.copy_to_network()
        try:
            yield
        finally:
            _copy(own, self._weights)

    def copy_to_network(self) -> None:
        """Replaces the network's weights with the average."""
        _copy(self.values, self._weights)


def _copy(values: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for key, value in values.items():
            target[key].copy_(value)
