"""Where a training's state is kept outside of the process: what a state is, and what a place for states can do."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class TrainingState:
    """One state of a training."""

    values: dict[str, Any]
    """JSON; infinite numbers are fine."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """May be live: whoever writes them does so before the next step."""


class StateStore(Protocol):
    """A place for states."""

    def newest(self) -> TrainingState | None:
        """Returns the newest whole state, None where there is none."""

    def write(self, saved: TrainingState) -> None:
        """Keeps one more state. A place that is full or does not answer costs the state, never the training."""

    def close(self) -> None:
        """Lets others write here."""


class Continued:
    """Saves that start, as long as they have no state of their own, from one of elsewhere."""

    def __init__(self, first: TrainingState | None, saves: StateStore | None) -> None:
        """Puts a state before saves.

        Args:
            first: Of an earlier part of the training.
            saves: Where states go; None: nowhere.
        """
        self._first, self._saves = first, saves

    def newest(self) -> TrainingState | None:
        """Returns the newest state of the saves, else the first one."""
        return (self._saves.newest() if self._saves is not None else None) or self._first

    def write(self, saved: TrainingState) -> None:
        """Keeps one more state in the saves."""
        if self._saves is not None:
            self._saves.write(saved)

    def close(self) -> None:
        """Closes the saves."""
        if self._saves is not None:
            self._saves.close()
