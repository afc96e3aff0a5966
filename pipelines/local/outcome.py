"""A run's end in a few lines: what was chosen, whether the transfer helped, what the gate said, where it all lies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graftline.evaluation.result import UNITS, Gain


def lines(run: Mapping[str, Any], out: Path) -> list[str]:
    """Returns the lines to print under the steps of a run that succeeded.

    Args:
        run: What `run.json` holds; a DAG that has no such figure gets no such line.
        out: The run's folder.
    """
    told = []
    if "selected" in run and "test" in run:
        chosen = run["selected"]
        main = Gain.model_validate(run["transfer_gain"]).measure if "transfer_gain" in run else "accuracy"
        said = "{:.4g}" if main == "rmse" else "{:.1%}"
        what = "" if main == "accuracy" else f" {UNITS[main].figure}"
        others = {"control": run["control"][main], **run["baselines"]}
        value = said.format(run["test"][main])
        told.append(
            f"chosen   {chosen['source']} / {chosen['strategy']}, {value}{what} on test; "
            + ", ".join(f"{name} {said.format(value)}" for name, value in others.items())
        )
    if "transfer_gain" in run:
        gain = Gain.model_validate(run["transfer_gain"])
        told.append(f"gain     {gain}")
        told += [f"         {reason}" for reason in gain.reasons if gain.verdict == "undecided"]
    if "best" in run and run["best"] != "chosen":
        rmse = Gain.model_validate(run["transfer_gain"]).measure == "rmse" if "transfer_gain" in run else False
        how = "has a lower RMSE" if rmse else "scores higher"
        told.append(f"best     {run['best']} {how} on test than the transfer")
    if "gate" in run:
        told.append(f"gate     {run['gate']['verdict']}")
        told += [f"         {reason}" for reason in run["gate"]["reasons"] if run["gate"]["verdict"] != "promote"]
    if "data" in run:
        count = len(run["data"]["warnings"])
        told.append(f"data     {out / 'data.html'}" + (f" ({count} warning{'s'[: count > 1]})" if count else ""))
    if (out / "report.html").is_file():
        told.append(f"report   {out / 'report.html'}")
    if (out / "release").is_dir():
        told.append(f"release  {out / 'release'}")
    return told
