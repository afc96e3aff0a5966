"""Writes the HTML report and the JSON summary of a run."""

import json
from pathlib import Path
from typing import Any

from graftline.config.jobs import ReportJob
from graftline.report.run import artifacts as runs
from graftline.report.run import page
from graftline.report.run.summary import summary
from graftline.runtime import events
from graftline.runtime.manifest import write_text


def report(
    job: ReportJob,
    *,
    dataset: Path,
    sources: Path,
    selection: Path,
    chosen: Path,
    control: Path,
    evaluation: Path,
    onnx: Path,
    gate: Path,
    out: Path,
) -> dict[str, Any]:
    """Writes `report.html` and `summary.json`.

    Args:
        job: The report job, with the config of the run.
        dataset: The target's dataset artifact.
        sources: The folder of source checkpoints written by `plan`.
        selection: The selection artifact written by `select`.
        chosen: The chosen checkpoint; only its manifest is read.
        control: The control's checkpoint; only its manifest is read.
        evaluation: The evaluation artifact, with the metrics and predictions on the test split.
        onnx: The ONNX artifact.
        gate: The gate artifact.
        out: Folder for the two files.

    Returns:
        The summary.

    Raises:
        RefusedError: An artifact is incomplete.
    """
    run = runs.read(
        job.config,
        dataset=dataset,
        sources=sources,
        selection=selection,
        chosen=chosen,
        control=control,
        evaluation=evaluation,
        onnx=onnx,
        gate=gate,
    )
    found = summary(run)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "report.html", page.render(run))
    write_text(out / "summary.json", json.dumps(found, indent=1, allow_nan=False))
    events.log(f"report: {out / 'report.html'}")
    return found
