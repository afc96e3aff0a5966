"""What a training has come to, part by part, saved now and then, so that a killed one goes on where it was.

A strategy runs from its top each time. Whatever is a pure function of the task (a new network, carried weights) is made
anew; whatever takes long (a loop, a fitted head, a fold) is a part with a name, and asks the journal first: a part that
is done gives back its values, one that was under way goes on from its last state.
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

EVERY = 60.0
"""Seconds between two saves."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class JournalEntry:
    """What one part has come to."""

    values: dict[str, Any] = field(default_factory=dict)
    """JSON."""
    tensors: State = field(default_factory=dict)
    done: bool = False
    whole: bool = False
    """The tensors are the state of the whole network: older such cells of the same scope need theirs no more."""


class Journal:
    """Cells by name, in memory, and where there are `saves`, outside of it too.

    Without saves it keeps nothing: each part is made anew.
    """

    def __init__(
        self, saves: StateStore | None = None, every: float = EVERY, identity: dict[str, Any] | None = None
    ) -> None:
        """Opens a journal with what the saves' newest state holds.

        Args:
            saves: Where states go.
            every: Seconds between two saves.
            identity: What makes the training itself, as JSON, for whoever writes a state elsewhere.
        """
        self._saves, self._every, self.identity = saves, every, identity or {}
        self._cells: dict[str, JournalEntry] = _cells(saves.newest()) if saves is not None else {}
        self._prefix = ""
        self._clock = _Clock(time.monotonic())

    def within(self, name: str) -> "Journal":
        """Returns this journal for the parts of a part, such as a fold's."""
        inner = Journal.__new__(Journal)
        inner.__dict__.update(self.__dict__)
        inner._prefix = f"{self._prefix}{name}/"
        return inner

    def get(self, part: str) -> JournalEntry | None:
        """Returns what a part has come to, None where it has not begun."""
        return self._cells.get(self._prefix + part)

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._saves is not None

    def tick(self, part: str, state: Callable[[], JournalEntry]) -> None:
        """Says that a part under way could be saved now; it is where the time has come or the process shall stop.

        Args:
            part: Its name, unique in its scope.
            state: Makes the cell; tensors may be live ones: they are written before this returns.

        Raises:
            SystemExit: The process was told to stop (SIGTERM, SIGINT); all is saved.
        """
        if self._saves is None and not self._clock.told:
            return
        if self._clock.told or time.monotonic() - self._clock.saved >= self._every:
            self.put(part, state())
            self.save()
        self.leave_if_told()

    def put(self, part: str, cell: JournalEntry) -> None:
        """Keeps what a part has come to; it is saved with the next tick or `save`.

        Args:
            part: Its name, unique in its scope.
            cell: Its tensors must not change any more.
        """
        if self._saves is None:
            return
        if cell.whole:
            for key, old in self._cells.items():
                if old.whole and key.startswith(self._prefix) and "/" not in key.removeprefix(self._prefix):
                    self._cells[key] = replace(old, tensors={})
        self._cells[self._prefix + part] = cell

    def kept(self, part: str, make: Callable[[], State]) -> State:
        """Returns tensors that are made once and then kept to the end, such as a penalty's weights."""
        found = self.get(part)
        if found is None:
            found = JournalEntry(tensors={key: value.detach().clone() for key, value in make().items()}, done=True)
            self.put(part, found)
        return found.tensors

    def drop(self, part: str) -> None:
        """Forgets a part's tensors, and all of the parts inside it."""
        name = self._prefix + part
        for key in [key for key in self._cells if key.startswith(f"{name}/")]:
            del self._cells[key]
        if name in self._cells:
            self._cells[name] = replace(self._cells[name], tensors={})

    def state(self) -> TrainingState:
        """Returns all that is kept, as one state."""
        return _saved(self._cells)

    def save(self) -> None:
        """Writes everything, where there is a place for it."""
        if self._saves is not None:
            self._saves.write(self.state())
        self._clock.saved = time.monotonic()

    def leave_if_told(self) -> None:
        """Ends the process where it was told to stop.

        Raises:
            SystemExit: It was.
        """
        if self._clock.told:
            raise SystemExit(128 + self._clock.told[0])

    @contextmanager
    def until_told(self) -> Iterator[None]:
        """Inside, SIGTERM and SIGINT wait for the next tick, which saves; the same one again ends the process at once.

        After Ctrl-C in a terminal a step has both: one from there, one from the run that it is a step of.
        """
        if not ranks.first():
            yield
            return

        def told(number: int, frame: object) -> None:
            if number in self._clock.told:
                leave(number, None)
            self._clock.told.append(number)

        with handled(told, signal.SIGTERM, signal.SIGINT):
            yield
        self.leave_if_told()

    def close(self) -> None:
        """Lets other runs write where this one did."""
        if self._saves is not None:
            self._saves.close()


@dataclass
class _Clock:
    """Shared by a journal and its scopes."""

    saved: float
    told: list[int] = field(default_factory=list)
    """Signals by which the process was told to stop."""


def _saved(cells: dict[str, JournalEntry]) -> TrainingState:
    values = {name: {"values": cell.values, "done": cell.done, "whole": cell.whole} for name, cell in cells.items()}
    return TrainingState(
        values, {f"{name}//{key}": value for name, cell in cells.items() for key, value in cell.tensors.items()}
    )


def _cells(saved: TrainingState | None) -> dict[str, JournalEntry]:
    if saved is None:
        return {}
    tensors: dict[str, State] = {name: {} for name in saved.values}
    for key, value in saved.tensors.items():
        name, _, inner = key.partition("//")
        tensors[name][inner] = value
    return {
        name: JournalEntry(told["values"], tensors[name], told["done"], told["whole"])
        for name, told in saved.values.items()
    }
