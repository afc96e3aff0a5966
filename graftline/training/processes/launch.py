"""Running a training step in several processes on this machine, such as one per GPU."""

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

StepFunction = Callable[..., CheckpointManifest]
WORKER_MODULE = "graftline.steps.worker"
"""Module that runs a step in each process; named instead of imported because it is in a higher layer."""
FAILURE_FILE = "ended.json"
"""Error that ended a process, if it is not a bug."""
ERROR_TYPES: dict[str, type[Exception]] = {"refused": RefusedError, "diverged": DivergedError, "oom": MemoryError}
GRACE_SECONDS = 20.0
"""Seconds; less than the launcher waits after a failure before it kills the remaining processes."""


def run_step(
    name: str,
    work: StepFunction,
    job: FinetuneJob | PretrainJob,
    requested: int | None,
    *,
    out: Path,
    **folders: Path | None,
) -> CheckpointManifest:
    """Runs a step in this process, or in several processes that share its batches.

    Args:
        name: Name of the step.
        work: The step's function in one process; in several, the result is that of the main process.
        job: The step's job.
        requested: Number of processes; None: one per visible GPU.
        out: Folder for the checkpoint.
        **folders: Input folders of the step.

    Raises:
        RefusedError: The step refuses its input, or there are fewer GPUs than processes.
    """
    if (processes := distributed.num_processes(requested)) > 1:
        return _launch(name, job, processes, out=out, **folders)
    with distributed.process_group(), ranks.main_process_output(out) as own:
        return work(job, out=own, **folders)


def _launch(
    name: str, job: FinetuneJob | PretrainJob, processes: int, *, out: Path, **folders: Path | None
) -> CheckpointManifest:
    """Runs a step in several processes and waits for them; if one fails, all are ended.

    Raises:
        RefusedError, DivergedError, MemoryError: Raised in a process.
        ChildFailedError: A process failed with another error; the log has its traceback.
        SystemExit: This process received a signal, and the training has saved its state if it keeps one; or
            another process was killed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException  # slow to import
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    events.log(f"{processes} processes share each batch")
    with tempfile.TemporaryDirectory(prefix="graftline-launch-") as folder:
        spec = {
            "name": name,
            "job": job.to_json(),
            "step": events.running(),
            "parent": os.getpid(),
            "out": str(out.absolute()),
            "folders": {key: str(path.absolute()) for key, path in folders.items() if path is not None},
        }
        (Path(folder) / "job.json").write_text(json.dumps(spec), encoding="utf-8")
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
            with _restored_signal_handlers():
                elastic_launch(config, sys.executable)("-m", WORKER_MODULE, folder)
        except SignalException as error:
            raise SystemExit(128 + int(error.sigval)) from None
        except ChildFailedError as error:
            _raise_error_of_process(Path(folder), error)
            raise
    return manifest.read(out, CheckpointManifest)


def _raise_error_of_process(folder: Path, error: "ChildFailedError") -> None:
    """Raises the error that one process would have raised, so that error marker and retries are the same."""
    if (folder / FAILURE_FILE).is_file():
        failure = json.loads((folder / FAILURE_FILE).read_text(encoding="utf-8"))
        raise ERROR_TYPES[failure["kind"]](failure["message"]) from None
    failures = error.failures.values()
    first = min(failure.timestamp for failure in failures)
    if any(f.exitcode == -signal.SIGKILL and f.timestamp < first + GRACE_SECONDS for f in failures):
        raise SystemExit(128 + signal.SIGKILL) from error  # by the operating system, out of memory: not a bug


@contextmanager
def _restored_signal_handlers() -> Iterator[None]:
    """Restores the signal handlers that the launcher replaces."""
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
