"""The progress of a training, stage by stage, saved periodically so that an interrupted training can resume.

A strategy always runs from its start. Results that are pure functions of its input (a new network, transferred weights)
are computed again; long stages (a loop, a fitted head, a fold) have a name and ask the journal first: a completed stage
returns its values, an interrupted one resumes from its last state.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from graftline.runtime.signals import handled, leave
from graftline.training.processes import ranks
from graftline.training.resume.saves import StateStore, TrainingState

SAVE_INTERVAL = 60.0
"""Seconds between two saves."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class JournalEntry:
    """State or result of one stage."""

    values: dict[str, Any] = field(default_factory=dict)
    """JSON values."""
    tensors: State = field(default_factory=dict)
    done: bool = False
    has_network: bool = False
    """Whether the tensors hold the entire network, which makes those of earlier such entries of the scope obsolete."""


class Journal:
    """Entries by stage name, in memory and in a store.

    Without a store it keeps nothing: every stage runs from its start.
    """

    def __init__(
        self,
        store: StateStore | None = None,
        save_interval: float = SAVE_INTERVAL,
        identity: dict[str, Any] | None = None,
    ) -> None:
        """Opens a journal with the entries of the store's newest state.

        Args:
            store: Where states are saved.
            save_interval: Seconds between two saves.
            identity: JSON that identifies the training, for callers that save its state elsewhere.
        """
        self._store, self._save_interval, self.identity = store, save_interval, identity or {}
        self._entries: dict[str, JournalEntry] = _to_entries(store.newest()) if store is not None else {}
        self._prefix = ""
        self._status = _Status(time.monotonic())

    def scope(self, name: str) -> "Journal":
        """Returns this journal for the stages inside a stage, such as those of a fold."""
        inner = Journal.__new__(Journal)
        inner.__dict__.update(self.__dict__)
        inner._prefix = f"{self._prefix}{name}/"
        return inner

    def get(self, name: str) -> JournalEntry | None:
        """Returns the entry of a stage, None if it has not started."""
        return self._entries.get(self._prefix + name)

    @property
    def is_enabled(self) -> bool:
        """Whether the journal keeps anything."""
        return self._store is not None

    def save_if_due(self, name: str, make_entry: Callable[[], JournalEntry]) -> None:
        """Saves the state of a running stage if the interval has passed or the process received a signal.

        Args:
            name: Name of the stage, unique in its scope.
            make_entry: Creates the entry; its tensors may be live, because they are written before this returns.

        Raises:
            SystemExit: The process received SIGTERM or SIGINT; everything is saved.
        """
        if self._store is None and not self._status.signals:
            return
        if self._status.signals or time.monotonic() - self._status.saved_at >= self._save_interval:
            self.put(name, make_entry())
            self.save()
        self.exit_if_requested()

    def put(self, name: str, entry: JournalEntry) -> None:
        """Stores the entry of a stage; it is written with the next save.

        Args:
            name: Name of the stage, unique in its scope.
            entry: Entry whose tensors do not change any more.
        """
        if self._store is None:
            return
        if entry.has_network:
            for key, old in self._entries.items():
                if old.has_network and key.startswith(self._prefix) and "/" not in key.removeprefix(self._prefix):
                    self._entries[key] = replace(old, tensors={})
        self._entries[self._prefix + name] = entry

    def get_or_create(self, name: str, make_tensors: Callable[[], State]) -> State:
        """Returns tensors that are computed once per training, such as the weights of a penalty."""
        entry = self.get(name)
        if entry is None:
            tensors = {key: value.detach().clone() for key, value in make_tensors().items()}
            entry = JournalEntry(tensors=tensors, done=True)
            self.put(name, entry)
        return entry.tensors

    def discard(self, name: str) -> None:
        """Removes the tensors of a stage, and all stages inside it."""
        full_name = self._prefix + name
        for key in [key for key in self._entries if key.startswith(f"{full_name}/")]:
            del self._entries[key]
        if full_name in self._entries:
            self._entries[full_name] = replace(self._entries[full_name], tensors={})

    def state(self) -> TrainingState:
        """Returns all entries as one state."""
        return _to_state(self._entries)

    def save(self) -> None:
        """Writes all entries to the store, if there is one."""
        if self._store is not None:
            self._store.write(self.state())
        self._status.saved_at = time.monotonic()

    def exit_if_requested(self) -> None:
        """Exits if the process received a signal.

        Raises:
            SystemExit: It did.
        """
        if self._status.signals:
            raise SystemExit(128 + self._status.signals[0])

    @contextmanager
    def deferred_signals(self) -> Iterator[None]:
        """Defers SIGTERM and SIGINT to the next `save_if_due`; a repeated signal exits immediately.

        After Ctrl-C in a terminal, a step receives both: SIGINT from the terminal and SIGTERM from its run.
        """
        if not ranks.is_main_process():
            yield
            return

        def handle(number: int, frame: object) -> None:
            if number in self._status.signals:
                leave(number, None)
            self._status.signals.append(number)

        with handled(handle, signal.SIGTERM, signal.SIGINT):
            yield
        self.exit_if_requested()

    def close(self) -> None:
        """Releases the store for other runs."""
        if self._store is not None:
            self._store.close()


@dataclass
class _Status:
    """Time of the last save and received signals, shared by a journal and its scopes."""

    saved_at: float
    signals: list[int] = field(default_factory=list)


def _to_state(entries: dict[str, JournalEntry]) -> TrainingState:
    values = {
        name: {"values": entry.values, "done": entry.done, "has_network": entry.has_network}
        for name, entry in entries.items()
    }
    return TrainingState(
        values, {f"{name}//{key}": value for name, entry in entries.items() for key, value in entry.tensors.items()}
    )


def _to_entries(state: TrainingState | None) -> dict[str, JournalEntry]:
    if state is None:
        return {}
    tensors: dict[str, State] = {name: {} for name in state.values}
    for key, value in state.tensors.items():
        name, _, inner = key.partition("//")
        tensors[name][inner] = value
    return {
        name: JournalEntry(values["values"], tensors[name], values["done"], values["has_network"])
        for name, values in state.values.items()
    }
