"""The saved state of a training, and the interface of the stores that keep it."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class TrainingState:
    """Saved state of a training."""

    values: dict[str, Any]
    """JSON values; may be infinite."""
    tensors: dict[str, Tensor] = field(default_factory=dict)
    """May be live: a store writes them before the next step."""


class StateStore(Protocol):
    """A store for the states of one training."""

    def newest(self) -> TrainingState | None:
        """Returns the newest complete state, None if there is none."""

    def write(self, state: TrainingState) -> None:
        """Saves a state. If the store is full or unreachable, the state is lost and training continues."""

    def close(self) -> None:
        """Releases the store for other runs."""


class StoreWithInitialState:
    """A store that returns an initial state as long as it has no state of its own."""

    def __init__(self, initial: TrainingState | None, store: StateStore | None) -> None:
        """Combines a state and a store.

        Args:
            initial: State at the end of an earlier part of the training.
            store: Where states are saved; None: nowhere.
        """
        self._initial, self._store = initial, store

    def newest(self) -> TrainingState | None:
        """Returns the newest state of the store, or else the initial state."""
        return (self._store.newest() if self._store is not None else None) or self._initial

    def write(self, state: TrainingState) -> None:
        """Saves a state in the store."""
        if self._store is not None:
            self._store.write(state)

    def close(self) -> None:
        """Closes the store."""
        if self._store is not None:
            self._store.close()
