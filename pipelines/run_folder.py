"""The folder that a local run leaves: run.json, report.html, release/ and logs/."""

import json
import shutil
from pathlib import Path
from typing import Any

from graftline.config import Config
from graftline.errors import RefusedError
from graftline.manifest import write_text
from graftline.pipelines.watch import Step, Watch

_OURS = ("run.json", "report.html", "release", "logs")
_MARK = "logs/kfp.log"


def prepare(out: Path) -> Path:
    """Makes the folder, rid of what an earlier run left in it.

    Args:
        out: The run's folder.

    Returns:
        Its `logs` folder.

    Raises:
        RefusedError: The folder holds files of these names that no run of graftline left there.
    """
    if out.exists() and not out.is_dir():
        raise RefusedError(f"--out {out}: is a file; name a folder")
    taken = [name for name in _OURS if (out / name).exists()]
    if taken and not (out / _MARK).is_file():
        raise RefusedError(f"--out {out}: holds {', '.join(taken)}, but not from a run of graftline; "
                           "name another folder, so that nothing of yours is overwritten")
    for name in taken:
        shutil.rmtree(out / name) if (out / name).is_dir() else (out / name).unlink()
    (out / "logs").mkdir(parents=True)
    (out / _MARK).touch()
    return out / "logs"


def collect(out: Path, watch: Watch) -> dict[str, Any]:
    """Copies the report and the release out of their artifacts.

    Returns:
        The report's summary, empty where the run did not get that far.
    """
    summary: dict[str, Any] = {}
    for step in watch.of("done"):
        if step.name == "report":
            shutil.copyfile(Path(step.received["out"]) / "report.html", out / "report.html")
            summary = json.loads((Path(step.received["out"]) / "summary.json").read_text(encoding="utf-8"))
        if step.name == "release":
            shutil.copytree(step.received["out"], out / "release")
    return summary


def write(out: Path, *, pipeline: str, config: Config, status: str, seconds: float, watch: Watch,
          failed: Step | None) -> dict[str, Any]:
    """Writes `run.json`.

    Args:
        out: The run's folder.
        pipeline: Name of the DAG.
        config: The run's config.
        status: succeeded, failed, refused or skipped.
        seconds: Of the whole run.
        watch: What the steps did.
        failed: The step that ended the run, if one did.

    Returns:
        What was written.
    """
    steps = [{"name": step.name, "seconds": step.seconds, "cached": step.state == "cached"}
             for step in watch.of("done", "cached")]
    run: dict[str, Any] = {"pipeline": pipeline, "task": config.task, "status": status, "seconds": round(seconds, 3),
                           "steps": steps}
    if failed is not None:
        run["error"] = {"step": failed.name, "kind": failed.kind, "message": failed.error}
    run |= collect(out, watch)
    write_text(out / "run.json", json.dumps(run, indent=1))
    return run
