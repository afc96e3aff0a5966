"""What a running step says of itself: a log, live progress, and on failure a marker that names the kind of failure.

With GRAFTLINE_RUN_DIR set, a step writes three files under `$GRAFTLINE_RUN_DIR/logs`: `<step>.log` (all that it and its
libraries print), `<step>.events.jsonl` (started, progress, finished or failed) and, on failure, `<step>.error.json`.
Without it, all goes to stdout. Outside of any step, progress is silent and lines go to the logger `graftline`.
"""

import hashlib
import json
import logging
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from graftline.runtime.errors import Kind, RefusedError, kind_of
from graftline.runtime.manifest import write_text
from graftline.runtime.signals import handled, leave

RUN_DIR = "GRAFTLINE_RUN_DIR"
GOES_ON = "goes on"
"""End of a progress message that counts what an earlier try has done: it says nothing of the pace, and is never held
back."""
_EVERY = 0.2  # seconds between two progress events in a file
_EVERY_PLAIN = 10.0  # seconds between two progress lines on stdout


class AlreadyFailedError(Exception):
    """A retry of a step that failed by a bug: it would fail again, so it stops before any work."""


class _Running:
    """The step that this process is in."""

    def __init__(self, name: str, logs: Path | None) -> None:
        self.name = name
        self.logs = logs
        self.file = file_name(name)
        self.began = time.time()
        self._numbers: dict[str, Any] = {}
        self._pending: dict[str, Any] | None = None
        self._told = 0.0
        self._lock = threading.Lock()

    def emit(self, event: str, **fields: Any) -> None:
        """Appends one event; a line is one write, so that readers never see half of one."""
        if self.logs is None:
            return
        line = json.dumps({"event": event, "step": self.name, "time": round(time.time(), 3), **fields})
        with (self.logs / f"{self.file}.events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def progress(self, done: int, total: int, message: str, numbers: dict[str, float]) -> None:
        """Keeps the latest numbers, tells them when enough time has passed."""
        with self._lock:
            self._numbers.update({k: v if math.isfinite(v) else str(v) for k, v in numbers.items()})
            self._pending = {"done": done, "total": total, "message": message, "numbers": dict(self._numbers)}
            now = time.monotonic()
            if message.endswith(GOES_ON) or now - self._told >= (_EVERY if self.logs else _EVERY_PLAIN):
                self._told = now
                self._tell()

    def flush(self) -> None:
        """Tells what the throttle held back."""
        with self._lock:
            self._tell()

    def _tell(self) -> None:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        self.emit("progress", **pending)
        if self.logs is None:
            numbers = "  ".join(
                f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in pending["numbers"].items()
            )
            print(
                f"{self.name}  {pending['done']}/{pending['total']}  {pending['message']}  {numbers}".rstrip(),
                flush=True,
            )


_running: _Running | None = None


def file_name(step: str) -> str:
    """Returns a step's name as it stands in file names: itself where it is plain, else made plain and distinct."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", step).lstrip(".")[:80]
    return plain if plain == step else f"{plain}-{hashlib.sha256(step.encode()).hexdigest()[:8]}"


def progress(done: int, total: int, message: str = "", **numbers: float) -> None:
    """Says how far the running step is. Free to call every batch: it throttles itself.

    Args:
        done: Units done, of whatever kind the step counts.
        total: Units in all; 0 where it is not known.
        message: What is going on, in a few words.
        **numbers: Latest figures, such as `epoch`, `loss`, `val_accuracy`; each stays until it is given anew.
    """
    if _running is not None:
        _running.progress(done, total, message, numbers)


def log(message: str) -> None:
    """Writes one line to the running step's log; outside of a step, to the logger `graftline`."""
    if _running is None:
        logging.getLogger("graftline").info(message)
    else:
        print(message, flush=True)


@contextmanager
def step(name: str, **received: str) -> Iterator[None]:
    """Runs the block as the step `name`: its output to its log, its events beside it, a marker if it fails.

    Args:
        name: Such as `preprocess-target` or `finetune-imagenet-staged`.
        **received: What the step was given (its job, digests of its inputs); told in its first event.

    Raises:
        RefusedError: A marker of the same step says `refused`, with that marker's message.
        AlreadyFailedError: A marker of the same step says `bug`.
    """
    global _running
    folder = os.environ.get(RUN_DIR)
    logs = Path(folder) / "logs" if folder else None
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        _stop_retry(logs, name)
        (logs / f"{file_name(name)}.error.json").unlink(missing_ok=True)
    # Before torch is loaded: its threads else spin while they wait, which on shared cores costs 10x and more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    outer, _running = _running, _Running(name, logs)
    running = _running
    with ExitStack() as stack:
        if logs is not None:
            stack.enter_context(_printing_to(logs / f"{running.file}.log"))
        stack.enter_context(handled(leave, signal.SIGTERM))  # a stop from outside leaves a `preempted` marker
        running.emit("started", pid=os.getpid(), received=received)
        try:
            yield
        except BaseException as error:
            # A marker is written to its end: Ctrl-C reaches a step twice, from the terminal and from its runner.
            with handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
                running.flush()
                _fail(running, error)
            raise
        finally:
            _running = outer
        running.flush()
        running.emit("finished", seconds=round(time.time() - running.began, 3))


def running() -> str:
    """Returns the name of the step that this process is in; empty outside of any."""
    return _running.name if _running is not None else ""


@contextmanager
def speaking_for(name: str) -> Iterator[None]:
    """Inside, progress and log lines are those of a step that another process began and will end; none if unnamed."""
    global _running
    folder = os.environ.get(RUN_DIR)
    outer, _running = _running, _Running(name, Path(folder) / "logs" if folder else None) if name else None
    try:
        yield
        if _running is not None:
            _running.flush()
    finally:
        _running = outer


def _stop_retry(logs: Path, name: str) -> None:
    marker = logs / f"{file_name(name)}.error.json"
    if not marker.is_file():
        return
    told = json.loads(marker.read_text(encoding="utf-8"))
    if told["kind"] == "refused":
        raise RefusedError(told["message"])
    if told["kind"] == "bug":
        raise AlreadyFailedError(f"{name}: failed before by a bug, not tried again: {told['message']}")


def _fail(running: _Running, error: BaseException) -> None:
    kind: Kind = kind_of(error)
    message = str(error) if kind in ("refused", "diverged") else f"{type(error).__name__}: {error}"
    message = "stopped from outside" if kind == "preempted" else message
    trace = "".join(traceback.format_exception(error))
    seconds = round(time.time() - running.began, 3)
    if running.logs is not None:
        print(message if kind == "refused" else trace, file=sys.stderr, flush=True)
        marker: dict[str, Any] = {"kind": kind, "message": message, "step": running.name, "seconds": seconds}
        if kind == "bug":
            marker["traceback"] = trace
        write_text(running.logs / f"{running.file}.error.json", json.dumps(marker, indent=1))
    running.emit("failed", kind=kind, message=message, seconds=seconds)


@contextmanager
def _printing_to(path: Path) -> Iterator[None]:
    """Sends stdout and stderr to a file, the descriptors below them too, so that C++ libraries' prints land there."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        with path.open("a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in zip((1, 2), kept, strict=True):
            os.dup2(original, number)
            os.close(original)
