"""The folder that a local run leaves: run.json, data.html, ledger.json, report.html, release/ and logs/."""

import json
import shutil
from pathlib import Path
from typing import Any

from graftline.config import Config
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.pipelines.local.watch import StepState, Watch
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import write_text

_OURS = ("run.json", "data.html", "ledger.json", "report.html", "release", "logs")
_MARK = "logs/kfp.log"
TARGET = ("preprocess-target", "merge-target")
"""Steps that make the target's dataset."""


def prepare(out: Path) -> Path:
    """Makes the folder, rid of an earlier run's logs; its pages and release stay until a run replaces them.

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
        raise RefusedError(
            f"--out {out}: holds {', '.join(taken)}, but not from a run of graftline; "
            "name another folder, so that nothing of yours is overwritten"
        )
    shutil.rmtree(out / "logs", ignore_errors=True)
    (out / "run.json").unlink(missing_ok=True)
    (out / "logs").mkdir(parents=True)
    (out / _MARK).touch()
    return out / "logs"


def show_data(out: Path, folder: Path) -> None:
    """Copies the target's data page and split ledger out of its dataset, as soon as it is there: training takes long.

    Args:
        out: The run's folder.
        folder: The dataset artifact.
    """
    shutil.copyfile(folder / dataset.PAGE, out / "data.html")
    shutil.copyfile(folder / dataset.LEDGER, out / "ledger.json")


def collect(out: Path, watch: Watch) -> dict[str, Any]:
    """Copies the report and the release out of their artifacts.

    Returns:
        The report's summary and the data's warnings, as far as the run got.
    """
    summary: dict[str, Any] = {}
    for step in watch.of("done", "cached"):
        if step.name in TARGET and step.made:
            summary["data"] = {"warnings": manifest.read(step.made["dataset"], DatasetManifest).warnings}
    made = {step.name: Path(step.received["out"]) for step in watch.of("done") if step.name in ("report", "release")}
    if made:  # the gate has spoken, so what an earlier run left is out of date
        shutil.rmtree(out / "release", ignore_errors=True)
    if "report" in made:
        shutil.copyfile(made["report"] / "report.html", out / "report.html")
        summary |= json.loads((made["report"] / "summary.json").read_text(encoding="utf-8"))
    if "release" in made:
        shutil.copytree(made["release"], out / "release")
    return summary


def write(
    out: Path, *, pipeline: str, config: Config, status: str, seconds: float, watch: Watch, failed: StepState | None
) -> dict[str, Any]:
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
    steps = [
        {"name": step.name, "seconds": step.seconds, "cached": step.state == "cached"}
        for step in watch.of("done", "cached")
    ]
    run: dict[str, Any] = {
        "pipeline": pipeline,
        "task": config.task,
        "status": status,
        "seconds": round(seconds, 3),
        "steps": steps,
    }
    if failed is not None:
        run["error"] = {"step": failed.name, "kind": failed.kind, "message": failed.error}
    run |= collect(out, watch)
    write_text(out / "run.json", json.dumps(run, indent=1))
    return run


def refuse(out: Path, *, pipeline: str, message: str) -> None:
    """Writes the `run.json` of a run whose config was refused before any step.

    Args:
        out: The run's folder.
        pipeline: Name of the DAG.
        message: Why.
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
