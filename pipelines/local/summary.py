"""The results of a run in a few lines: chosen candidate, transfer gain, release gate, paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftline.evaluation.result import UNITS, Gain


def summary_lines(run: Mapping[str, Any], out: Path) -> list[str]:
    """Returns the lines to print after the steps of a run that succeeded.

    Args:
        run: Contents of `run.json`; a key that is missing has no line.
        out: The run's folder.
    """
    lines = []
    if "selected" in run and "test" in run:
        chosen = run["selected"]
        main = Gain.model_validate(run["transfer_gain"]).measure if "transfer_gain" in run else "accuracy"
        number = "{:.4g}" if main == "rmse" else "{:.1%}"
        metric = "" if main == "accuracy" else f" {UNITS[main].figure}"
        others = {"control": run["control"][main], **run["baselines"]}
        value = number.format(run["test"][main])
        lines.append(
            f"chosen   {chosen['source']} / {chosen['strategy']}, {value}{metric} on test; "
            + ", ".join(f"{name} {number.format(value)}" for name, value in others.items())
        )
    if "transfer_gain" in run:
        gain = Gain.model_validate(run["transfer_gain"])
        lines.append(f"gain     {gain}")
        lines += [f"         {reason}" for reason in gain.reasons if gain.verdict == "undecided"]
    if "best" in run and run["best"] != "chosen":
        rmse = Gain.model_validate(run["transfer_gain"]).measure == "rmse" if "transfer_gain" in run else False
        comparison = "has a lower RMSE" if rmse else "scores higher"
        lines.append(f"best     {run['best']} {comparison} on test than the transfer")
    if "gate" in run:
        lines.append(f"gate     {run['gate']['verdict']}")
        lines += [f"         {reason}" for reason in run["gate"]["reasons"] if run["gate"]["verdict"] != "promote"]
    if "data" in run:
        count = len(run["data"]["warnings"])
        lines.append(f"data     {out / 'data.html'}" + (f" ({count} warning{'s'[: count > 1]})" if count else ""))
    if (out / "report.html").is_file():
        lines.append(f"report   {out / 'report.html'}")
    if (out / "release").is_dir():
        lines.append(f"release  {out / 'release'}")
    return lines
