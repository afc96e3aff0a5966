"""What the steps of a run are doing, put together from the events that they write and from the cache."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from graftline.runtime import events

State = Literal["waiting", "running", "done", "cached", "failed"]
Event = Literal["starts", "cached", "done"]


@dataclass
class StepState:
    """One step of a run."""

    name: str
    state: State = "waiting"
    began: float = 0.0
    """Unix time; before its process is up where the cache was asked for it."""
    seconds: float = 0.0
    """How long it took; 0 until it ends."""
    done: int = 0
    total: int = 0
    first: tuple[float, int] = (0.0, 0)
    """Unix time and `done` of its first progress."""
    message: str = ""
    numbers: dict[str, float | str] = field(default_factory=dict)
    """The latest figures that it told, such as loss."""
    received: dict[str, str] = field(default_factory=dict)
    """What it was given: its job, digests of its inputs."""
    made: dict[str, Path] = field(default_factory=dict)
    """Its artifacts by name, of a step that is cached or was put into the cache."""
    pid: int = 0
    kind: str = ""
    """Of the failure: refused, bug, oom, preempted or diverged."""
    error: str = ""

    def left(self, now: float) -> float | None:
        """Returns the seconds left at the pace since its first progress, None where the step has not told enough."""
        since, then = self.first
        if not then < self.done < self.total:
            return None
        return (now - since) * (self.total - self.done) / (self.done - then)


class Watch:
    """Follows the event files of one run. `tell` may be called from any thread, all else from one."""

    def __init__(self, logs: Path, expected: Iterable[str]) -> None:
        """Starts to follow.

        Args:
            logs: The run's `logs` folder.
            expected: Names of the steps that are known beforehand, in their order.
        """
        self.steps: dict[str, StepState] = {name: StepState(name) for name in expected}
        self.begun: list[str] = []
        """Names in the order in which the steps began, or came from the cache."""
        self._logs = logs
        self._read: dict[Path, int] = {}
        self._told: SimpleQueue[tuple[str, Event, list[str], Mapping[str, Path], float]] = SimpleQueue()

    def tell(self, name: str, event: Event, following: list[str], made: Mapping[str, Path]) -> None:
        """Notes that a step starts, came from the cache or is through, which steps it lets follow, what it made."""
        self._told.put((name, event, following, made, time.time()))

    def poll(self) -> None:
        """Takes in what happened since the last call."""
        while not self._told.empty():
            name, event, following, made, now = self._told.get()
            if event == "starts":
                self._begin(name, now).state = "running"
            elif event == "cached":
                self._begin(name, now).state = "cached"
            self.steps.setdefault(name, StepState(name)).made |= made
            self._expect(following, after=name)
        for path in sorted(self._logs.glob("*.events.jsonl")):
            for line in self._new(path):
                self._take(line)

    def of(self, *states: State) -> list[StepState]:
        """Returns the steps in one of these states: first those begun, in that order, then those waiting."""
        names = [*self.begun, *(name for name in self.steps if name not in self.begun)]
        return [self.steps[name] for name in names if self.steps[name].state in states]

    def fail(self, name: str, kind: str, message: str) -> None:
        """Notes a failure that the step itself could not tell."""
        step = self._begin(name, time.time())
        step.state, step.kind, step.error = "failed", kind, message

    def _new(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read[path] = self._read.get(path, 0) + len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _take(self, event: dict[str, Any]) -> None:
        step = self._begin(event["step"], event["time"])
        match event["event"]:
            case "started":
                step.state, step.pid, step.received = "running", event["pid"], event["received"]
            case "progress":
                if not step.first[0] or event["message"].endswith(events.GOES_ON):
                    step.first = event["time"], event["done"]
                step.done, step.total, step.message = event["done"], event["total"], event["message"]
                step.numbers = event["numbers"]
            case "finished":
                step.state, step.seconds = "done", round(event["time"] - step.began, 3)
            case "failed":
                step.state, step.seconds = "failed", round(event["time"] - step.began, 3)
                step.kind, step.error = event["kind"], event["message"]

    def _begin(self, name: str, now: float) -> StepState:
        step = self.steps.setdefault(name, StepState(name))
        if name not in self.begun:
            self.begun.append(name)
            step.began = now
        return step

    def _expect(self, names: list[str], *, after: str) -> None:
        """Puts steps in line behind another one, so that what waits is shown in the order it will come."""
        new = {name: StepState(name) for name in names if name not in self.steps}
        order = list(self.steps)
        at = order.index(after) + 1 if after in self.steps else len(order)
        self.steps = {name: (self.steps | new)[name] for name in [*order[:at], *new, *order[at:]]}
