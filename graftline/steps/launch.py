"""One training in several processes on this machine, such as one a GPU, each with the same job."""

import json
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from graftline import events, manifest
from graftline.checkpoint import CheckpointManifest
from graftline.errors import RefusedError
from graftline.jobs import Candidate

REFUSED = "refused.txt"


def launched(job: Candidate, processes: int, *, out: Path, **folders: Path | None) -> CheckpointManifest:
    """Runs `finetune` in several processes and waits for them; if one fails, all end.

    Args:
        job: What to train.
        processes: At least 2.
        out: Becomes a checkpoint, written by the first of them.
        **folders: As `finetune` takes them.

    Raises:
        RefusedError: As `finetune` does.
        ChildFailedError: A process failed otherwise; the log has its traceback.
        SystemExit: This process was told to stop; the training has saved its state where it keeps one.
    """
    events.log(f"{job.name}: {processes} processes share each batch")
    with tempfile.TemporaryDirectory(prefix="graftline-launch-") as folder:
        told = {"job": job.to_json(), "step": events.running(), "out": str(out.absolute()),
                "folders": {name: str(path.absolute()) for name, path in folders.items() if path is not None}}
        (Path(folder) / "job.json").write_text(json.dumps(told), encoding="utf-8")
        config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex,
                              rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0, monitor_interval=0.2)
        try:
            with _own_signals():
                elastic_launch(config, sys.executable)("-m", "graftline.steps.launch", folder)
        except SignalException as error:
            raise SystemExit(128 + int(error.sigval)) from None
        except ChildFailedError:
            if (refusal := Path(folder) / REFUSED).is_file():
                raise RefusedError(refusal.read_text(encoding="utf-8")) from None
            raise
    return manifest.read(out, CheckpointManifest)


@contextmanager
def _own_signals() -> Iterator[None]:
    """Puts back the handlers that the launcher takes over and does not give back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number)
                              for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(folder: Path) -> None:
    """One of the processes."""
    from graftline.steps.finetune import finetune

    told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with events.speaking_for(told["step"] if os.environ["RANK"] == "0" else ""):
        try:
            finetune(Candidate.model_validate_json(told["job"]), out=Path(told["out"]),
                     **{name: Path(path) for name, path in told["folders"].items()})
        except RefusedError as error:
            manifest.write_text(folder / f"{os.environ['RANK']}.txt", str(error))
            (folder / f"{os.environ['RANK']}.txt").replace(folder / REFUSED)
            raise


if __name__ == "__main__":
    main(Path(sys.argv[1]))
