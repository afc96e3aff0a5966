"""The states of a run's steps, from the events that the steps write and from the cache."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from graftline.runtime import events

State = Literal["waiting", "running", "done", "cached", "failed"]
CacheEvent = Literal["starts", "cached", "done"]


@dataclass
class StepState:
    """One step of a run."""

    name: str
    state: State = "waiting"
    began: float = 0.0
    """Unix time of its start or, if earlier, of its look-up in the cache."""
    seconds: float = 0.0
    """Duration; 0 until it ends."""
    done: int = 0
    total: int = 0
    first_progress: tuple[float, int] = (0.0, 0)
    """Unix time and `done` of its first progress event."""
    message: str = ""
    numbers: dict[str, float | str] = field(default_factory=dict)
    """Latest metrics, such as `loss`."""
    received: dict[str, str] = field(default_factory=dict)
    """Its inputs: its job, and digests of the artifacts that it reads."""
    artifacts: dict[str, Path] = field(default_factory=dict)
    """Its artifacts by name, once it is in the cache."""
    pid: int = 0
    kind: str = ""
    """Kind of its failure: refused, bug, oom, preempted or diverged."""
    error: str = ""

    def seconds_left(self, now: float) -> float | None:
        """Estimates the seconds left at the pace since its first progress event; None if that is not known."""
        since, then = self.first_progress
        if not then < self.done < self.total:
            return None
        return (now - since) * (self.total - self.done) / (self.done - then)


class RunMonitor:
    """Follows the event files of one run. `record` may be called from any thread, the other methods from one."""

    def __init__(self, logs: Path, expected: Iterable[str]) -> None:
        """Initializes the states of the expected steps.

        Args:
            logs: The run's `logs` folder.
            expected: Names of the steps that are known before the run, in order.
        """
        self.steps: dict[str, StepState] = {name: StepState(name) for name in expected}
        self.begun: list[str] = []
        """Names in the order in which the steps started, or were read from the cache."""
        self._logs = logs
        self._offsets: dict[Path, int] = {}
        self._recorded: SimpleQueue[tuple[str, CacheEvent, list[str], Mapping[str, Path], float]] = SimpleQueue()

    def record(self, name: str, event: CacheEvent, listed: list[str], artifacts: Mapping[str, Path]) -> None:
        """Records that a step starts, was read from the cache, or completed; which steps it lists; its artifacts."""
        self._recorded.put((name, event, listed, artifacts, time.time()))

    def poll(self) -> None:
        """Updates the states with all events since the last call."""
        while not self._recorded.empty():
            name, event, listed, artifacts, now = self._recorded.get()
            if event == "starts":
                self._begin(name, now).state = "running"
            elif event == "cached":
                self._begin(name, now).state = "cached"
            self.steps.setdefault(name, StepState(name)).artifacts |= artifacts
            self._expect(listed, after=name)
        for path in sorted(self._logs.glob("*.events.jsonl")):
            for line in self._read_new_lines(path):
                self._apply(line)

    def in_state(self, *states: State) -> list[StepState]:
        """Returns the steps in one of these states: those that started, in that order, then those that wait."""
        names = [*self.begun, *(name for name in self.steps if name not in self.begun)]
        return [self.steps[name] for name in names if self.steps[name].state in states]

    def fail(self, name: str, kind: str, message: str) -> None:
        """Marks a step as failed that could not write that event itself."""
        step = self._begin(name, time.time())
        step.state, step.kind, step.error = "failed", kind, message

    def _read_new_lines(self, path: Path) -> list[dict[str, Any]]:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            text = file.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(complete)
        return [json.loads(line) for line in complete.splitlines()]

    def _apply(self, event: dict[str, Any]) -> None:
        step = self._begin(event["step"], event["time"])
        match event["event"]:
            case "started":
                step.state, step.pid, step.received = "running", event["pid"], event["received"]
            case "progress":
                if not step.first_progress[0] or event["message"].endswith(events.GOES_ON):
                    step.first_progress = event["time"], event["done"]
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
        """Inserts steps after the one that lists them, so that waiting steps are shown in the order they start."""
        new = {name: StepState(name) for name in names if name not in self.steps}
        order = list(self.steps)
        index = order.index(after) + 1 if after in self.steps else len(order)
        self.steps = {name: (self.steps | new)[name] for name in [*order[:index], *new, *order[index:]]}
