"""One training in several processes on this machine, such as one a GPU, each with the same job."""

import json
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graftline.config.jobs import FinetuneJob, PretrainJob
from graftline.models.checkpoint import CheckpointManifest
from graftline.runtime import events, manifest
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.training.processes import distributed, ranks

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

Step = Callable[..., CheckpointManifest]
WORKER = "graftline.steps.worker"
"""Module that runs a step in each process; it lies in a layer above, so it is named and not imported."""
ENDED = "ended.json"
"""What ended a process, where that is no bug."""
ERRORS: dict[str, type[Exception]] = {"refused": RefusedError, "diverged": DivergedError, "oom": MemoryError}
GRACE = 20.0
"""Seconds, less than the launcher waits before it kills those that outlive another's failure."""


def together(
    name: str,
    work: Step,
    job: FinetuneJob | PretrainJob,
    asked: int | None,
    *,
    out: Path,
    **folders: Path | None,
) -> CheckpointManifest:
    """Runs a step's work in this process, or the step in as many as share its batches.

    Args:
        name: Of the step.
        work: What it does in one process; of several, the first one's result counts.
        job: What to do.
        asked: Processes; None: one a visible GPU.
        out: Becomes a checkpoint.
        **folders: As the step takes them.

    Raises:
        RefusedError: As the step does, or there are fewer GPUs than processes.
    """
    if (processes := distributed.processes(asked)) > 1:
        return _launched(name, job, processes, out=out, **folders)
    with distributed.joined(), ranks.voice(out) as own:
        return work(job, out=own, **folders)


def _launched(
    name: str, job: FinetuneJob | PretrainJob, processes: int, *, out: Path, **folders: Path | None
) -> CheckpointManifest:
    """Runs a step in several processes and waits for them; if one fails, all end.

    Raises:
        RefusedError, DivergedError, MemoryError: A process did.
        ChildFailedError: A process failed otherwise; the log has its traceback.
        SystemExit: This process was told to stop, and the training has saved its state where it keeps one; or another
            one was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException  # takes a while to load
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    events.log(f"{processes} processes share each batch")
    with tempfile.TemporaryDirectory(prefix="graftline-launch-") as folder:
        told = {
            "name": name,
            "job": job.to_json(),
            "step": events.running(),
            "parent": os.getpid(),
            "out": str(out.absolute()),
            "folders": {key: str(path.absolute()) for key, path in folders.items() if path is not None},
        }
        (Path(folder) / "job.json").write_text(json.dumps(told), encoding="utf-8")
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.2,
        )
        try:
            with _own_signals():
                elastic_launch(config, sys.executable)("-m", WORKER, folder)
        except SignalException as error:
            raise SystemExit(128 + int(error.sigval)) from None
        except ChildFailedError as error:
            _raise_as_alone(Path(folder), error)
            raise
    return manifest.read(out, CheckpointManifest)


def _raise_as_alone(folder: Path, error: "ChildFailedError") -> None:
    """Raises what one process alone would have raised, so that the step's marker and its retry are those of one."""
    if (folder / ENDED).is_file():
        told = json.loads((folder / ENDED).read_text(encoding="utf-8"))
        raise ERRORS[told["kind"]](told["message"]) from None
    began = min(failure.timestamp for failure in error.failures.values())
    if any(
        failure.exitcode == -signal.SIGKILL and failure.timestamp < began + GRACE for failure in error.failures.values()
    ):
        raise SystemExit(128 + signal.SIGKILL) from error  # by the system, where memory ran out: no bug


@contextmanager
def _own_signals() -> Iterator[None]:
    """Puts back the handlers that the launcher takes over and does not give back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
