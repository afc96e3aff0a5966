"""The whole run as one HTML page and one small JSON."""

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
        job: The run's config.
        dataset: The target's dataset artifact.
        sources: plan's folder of source checkpoints.
        selection: What `select` wrote.
        chosen: The selected checkpoint; its manifest is enough.
        control: The control's checkpoint; its manifest is enough.
        evaluation: Figures and predictions on the test split.
        onnx: The exported file.
        gate: The verdict on it.
        out: Where to write.

    Returns:
        The summary.

    Raises:
        RefusedError: An artifact is not whole.
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
