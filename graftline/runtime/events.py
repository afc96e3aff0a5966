"""Log, progress events and failure marker of a running step.

If GRAFTLINE_RUN_DIR is set, a step writes these files under `$GRAFTLINE_RUN_DIR/logs`: `<step>.log` (all output of the
step and its libraries), `<step>.events.jsonl` (started, progress, finished or failed) and, on failure,
`<step>.error.json`, which contains the kind of failure. Otherwise all output goes to stdout. Outside of a step,
progress is not reported and log lines go to the logger `graftline`.
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
"""Suffix of a progress message that counts work done by an earlier attempt.

Such a message is written immediately, without throttling, and must not be used to estimate the speed.
"""
_EVERY = 0.2  # seconds between two progress events in a file
_EVERY_PLAIN = 10.0  # seconds between two progress lines on stdout


class AlreadyFailedError(Exception):
    """Raised before any work when a step is retried that failed because of a bug, since it would fail again."""


class _Running:
    """State of the step that this process is running."""

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
        """Appends one event to the events file in a single write, so that readers never see an incomplete line."""
        if self.logs is None:
            return
        line = json.dumps({"event": event, "step": self.name, "time": round(time.time(), 3), **fields})
        with (self.logs / f"{self.file}.events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def progress(self, done: int, total: int, message: str, numbers: dict[str, float]) -> None:
        """Stores the latest numbers and reports them if enough time has passed since the last report."""
        with self._lock:
            self._numbers.update({k: v if math.isfinite(v) else str(v) for k, v in numbers.items()})
            self._pending = {"done": done, "total": total, "message": message, "numbers": dict(self._numbers)}
            now = time.monotonic()
            if message.endswith(GOES_ON) or now - self._told >= (_EVERY if self.logs else _EVERY_PLAIN):
                self._told = now
                self._tell()

    def flush(self) -> None:
        """Reports the latest progress if throttling has delayed it."""
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
    """Returns the name of a step for use in file names.

    Characters other than ASCII letters, digits, `.`, `_` and `-` are replaced by `_`, and a hash is appended to names
    that change, so that they stay distinct.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", step).lstrip(".")[:80]
    return plain if plain == step else f"{plain}-{hashlib.sha256(step.encode()).hexdigest()[:8]}"


def progress(done: int, total: int, message: str = "", **numbers: float) -> None:
    """Reports the progress of the running step; calls are throttled, so it can be called for every batch.

    Args:
        done: Number of completed units, such as batches or bytes.
        total: Total number of units; 0 if unknown.
        message: Short description of the current work.
        **numbers: Latest values, such as `epoch`, `loss`, `val_accuracy`; each is kept until a later call replaces it.
    """
    if _running is not None:
        _running.progress(done, total, message, numbers)


def log(message: str) -> None:
    """Writes one line to the log of the running step or, outside of a step, to the logger `graftline`."""
    if _running is None:
        logging.getLogger("graftline").info(message)
    else:
        print(message, flush=True)


@contextmanager
def step(name: str, **received: str) -> Iterator[None]:
    """Runs the block as the step `name` and writes its log, its events and, if it fails, its failure marker.

    Args:
        name: Name of the step, such as `preprocess-target` or `finetune-imagenet-staged`.
        **received: Inputs of the step (its job, digests of its inputs), written to the `started` event.

    Raises:
        RefusedError: If an earlier attempt of the step left a `refused` marker; the message is that of the marker.
        AlreadyFailedError: If an earlier attempt of the step left a `bug` marker.
    """
    global _running
    folder = os.environ.get(RUN_DIR)
    logs = Path(folder) / "logs" if folder else None
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        _stop_retry(logs, name)
        (logs / f"{file_name(name)}.error.json").unlink(missing_ok=True)
    # Set before torch is loaded: otherwise its waiting threads spin, which is 10x slower or worse on shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    outer, _running = _running, _Running(name, logs)
    running = _running
    with ExitStack() as stack:
        if logs is not None:
            stack.enter_context(_printing_to(logs / f"{running.file}.log"))
        stack.enter_context(handled(leave, signal.SIGTERM))  # so that SIGTERM leaves a `preempted` marker
        running.emit("started", pid=os.getpid(), received=received)
        try:
            yield
        except BaseException as error:
            # Signals are ignored while the marker is written: Ctrl-C sends two, from the terminal and from the runner.
            with handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM):
                running.flush()
                _fail(running, error)
            raise
        finally:
            _running = outer
        running.flush()
        running.emit("finished", seconds=round(time.time() - running.began, 3))


def running() -> str:
    """Returns the name of the step that this process is running, or an empty string outside of a step."""
    return _running.name if _running is not None else ""


@contextmanager
def speaking_for(name: str) -> Iterator[None]:
    """Reports progress and log lines in the context for a step that another process starts and ends.

    If `name` is empty, the context runs outside of any step.
    """
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
    """Redirects stdout, stderr and their file descriptors to a file, so that output of C++ libraries is included."""
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
