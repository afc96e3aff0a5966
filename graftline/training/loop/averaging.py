"""A moving average of the weights, which is what is kept (Polyak and Juditsky 1992; Tarvainen and Valpola 2017)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Exponential moving average of all floating weights and statistics of a network.

    What does not move (frozen weights) stays bit for bit what it is.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        kept = network.state_dict()
        # The weights themselves, not the state's views of them, which lose them where the memory layout changes.
        self._own = {
            key: value
            for key, value in (*network.named_parameters(), *network.named_buffers())
            if key in kept and value.is_floating_point()
        }
        self.values = {key: value.detach().clone() for key, value in self._own.items()}

    def update(self) -> None:
        """Takes the present weights in; early averages forget faster, so that the start does not stay."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 9))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.values.values()), list(self._own.values()), 1 - decay)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Inside, the network has the average's weights."""
        kept = {key: value.detach().clone() for key, value in self._own.items()}
        self.put()
        try:
            yield
        finally:
            _copy(kept, self._own)

    def put(self) -> None:
        """Puts the average into the network for good."""
        _copy(self.values, self._own)


def _copy(values: dict[str, Tensor], into: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for key, value in values.items():
            into[key].copy_(value)
