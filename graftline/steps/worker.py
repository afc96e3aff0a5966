"""Runs a worker process of a step with several processes; `graftline.training.processes.launch` starts it."""

import json
import os
import sys
import threading
import time
from pathlib import Path

from graftline.config.jobs import FinetuneJob, PretrainJob
from graftline.models.devices import is_out_of_memory
from graftline.runtime import events, manifest
from graftline.runtime.errors import kind_of
from graftline.steps.finetune import finetune
from graftline.steps.pretrain import pretrain
from graftline.training.processes import ranks
from graftline.training.processes.launch import ERROR_TYPES, FAILURE_FILE, StepFunction

STEPS: dict[str, tuple[type[FinetuneJob] | type[PretrainJob], StepFunction]] = {
    "finetune": (FinetuneJob, finetune),
    "pretrain": (PretrainJob, pretrain),
}
"""Job type and function of each step that supports several processes, by step name."""


def main(folder: Path) -> None:
    """Runs the step that `job.json` in the folder describes."""
    spec = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    threading.Thread(target=_exit_with_parent, args=(spec["parent"],), daemon=True).start()
    job_type, step = STEPS[spec["name"]]
    with events.speaking_for(spec["step"] if ranks.is_main_process() else ""):
        try:
            step(
                job_type.model_validate_json(spec["job"]),
                out=Path(spec["out"]),
                **{name: Path(path) for name, path in spec["folders"].items()},
            )
        except Exception as error:
            if (kind := "oom" if is_out_of_memory(error) else kind_of(error)) in ERROR_TYPES:
                own = folder / f"{os.environ['RANK']}.json"
                manifest.write_text(own, json.dumps({"kind": kind, "message": str(error)}))
                own.replace(folder / FAILURE_FILE)
            raise


def _exit_with_parent(parent: int) -> None:
    """Exits when the parent process has ended, so that no worker continues training after the step is killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
