"""The folder of a local run: run.json, data.html, ledger.json, report.html, release/ and logs/."""

import json
import shutil
from pathlib import Path
from typing import Any

from graftline.config import Config
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.pipelines.local.monitor import RunMonitor, StepState
from graftline.pipelines.record import Pipeline
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import write_text

_OURS = ("run.json", "data.html", "ledger.json", "report.html", "release", "logs")
_MARK = "logs/kfp.log"


def prepare(out: Path) -> Path:
    """Creates the folder, or removes an earlier run's logs; its pages and release stay until a run replaces them.

    Args:
        out: The run's folder.

    Returns:
        Its `logs` folder.

    Raises:
        RefusedError: The folder has files of these names that no run of graftline wrote.
    """
    if out.exists() and not out.is_dir():
        raise RefusedError(f"--out {out}: is a file; give a folder")
    taken = [name for name in _OURS if (out / name).exists()]
    if taken and not (out / _MARK).is_file():
        raise RefusedError(
            f"--out {out}: has {', '.join(taken)} from another program; "
            "give another folder, so that your files are not overwritten"
        )
    shutil.rmtree(out / "logs", ignore_errors=True)
    (out / "run.json").unlink(missing_ok=True)
    (out / "logs").mkdir(parents=True)
    (out / _MARK).touch()
    return out / "logs"


def copy_data_page(out: Path, folder: Path) -> None:
    """Copies the target's data page and split ledger from its dataset, before training starts.

    Args:
        out: The run's folder.
        folder: The dataset artifact.
    """
    shutil.copyfile(folder / dataset.PAGE, out / "data.html")
    shutil.copyfile(folder / dataset.LEDGER, out / "ledger.json")


def collect_results(out: Path, pipeline: Pipeline, monitor: RunMonitor) -> dict[str, Any]:
    """Copies the report and the release from their artifacts.

    Returns:
        The report's summary and the data's warnings, as far as the run got.
    """
    results: dict[str, Any] = {}
    for step in monitor.in_state("done", "cached"):
        if step.name in pipeline.dataset_steps and step.artifacts:
            results["data"] = {"warnings": manifest.read(step.artifacts["dataset"], DatasetManifest).warnings}
    last = (pipeline.report_step, pipeline.release_step)
    folders = {step.name: Path(step.received["out"]) for step in monitor.in_state("done") if step.name in last}
    if folders:  # the gate has decided, so the release of an earlier run is out of date
        shutil.rmtree(out / "release", ignore_errors=True)
    if folder := folders.get(pipeline.report_step):
        shutil.copyfile(folder / "report.html", out / "report.html")
        results |= json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if folder := folders.get(pipeline.release_step):
        shutil.copytree(folder, out / "release")
    return results


def write_run(
    out: Path,
    *,
    pipeline: Pipeline,
    config: Config,
    status: str,
    seconds: float,
    monitor: RunMonitor,
    failed: StepState | None,
) -> dict[str, Any]:
    """Writes `run.json`.

    Args:
        out: The run's folder.
        pipeline: The pipeline that ran.
        config: The run's config.
        status: succeeded, failed, refused or skipped.
        seconds: Duration of the run.
        monitor: States of the run's steps.
        failed: The step that ended the run, if one did.

    Returns:
        What was written.
    """
    steps = [
        {"name": step.name, "seconds": step.seconds, "cached": step.state == "cached"}
        for step in monitor.in_state("done", "cached")
    ]
    run: dict[str, Any] = {
        "pipeline": pipeline.name,
        "task": config.task,
        "status": status,
        "seconds": round(seconds, 3),
        "steps": steps,
    }
    if failed is not None:
        run["error"] = {"step": failed.name, "kind": failed.kind, "message": failed.error}
    run |= collect_results(out, pipeline, monitor)
    write_text(out / "run.json", json.dumps(run, indent=1))
    return run


def write_refusal(out: Path, *, pipeline: str, message: str) -> None:
    """Writes the `run.json` of a run whose config was refused before any step.

    Args:
        out: The run's folder.
        pipeline: Name of the pipeline.
        message: Why the config was refused.
    """
    prepare(out)
    run = {
        "pipeline": pipeline,
        "status": "refused",
        "seconds": 0.0,
        "steps": [],
        "error": {"step": "config", "kind": "refused", "message": message},
    }
    write_text(out / "run.json", json.dumps(run, indent=1))
