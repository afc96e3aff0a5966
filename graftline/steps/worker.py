"""One of several processes that run a step together, started by `graftline.training.processes.launch`."""

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
from graftline.training.processes.launch import ENDED, ERRORS, Step

STEPS: dict[str, tuple[type[FinetuneJob] | type[PretrainJob], Step]] = {
    "finetune": (FinetuneJob, finetune),
    "pretrain": (PretrainJob, pretrain),
}
"""What can be launched, by name: the type of its job and the step."""


def main(folder: Path) -> None:
    """One of the processes."""
    told = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    threading.Thread(target=_end_with, args=(told["parent"],), daemon=True).start()
    kind, step = STEPS[told["name"]]
    with events.speaking_for(told["step"] if ranks.first() else ""):
        try:
            step(
                kind.model_validate_json(told["job"]),
                out=Path(told["out"]),
                **{name: Path(path) for name, path in told["folders"].items()},
            )
        except Exception as error:
            if (why := "oom" if is_out_of_memory(error) else kind_of(error)) in ERRORS:
                own = folder / f"{os.environ['RANK']}.json"
                manifest.write_text(own, json.dumps({"kind": why, "message": str(error)}))
                own.replace(folder / ENDED)
            raise


def _end_with(parent: int) -> None:
    """Ends this process when the one that started it is gone: a step that was killed leaves nobody training."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
