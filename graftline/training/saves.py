"""Where a training's state is kept outside of the process: immutable steps, whole or not there."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Saved:
    """One state of a training."""

    values: dict[str, Any]
    """JSON."""
    tensors: dict[str, Tensor] = field(default_factory=dict)


class Saves(Protocol):
    """A place for states."""

    def newest(self) -> Saved | None:
        """Returns the newest whole state, None where there is none."""

    def write(self, saved: Saved) -> None:
        """Keeps one more state."""
