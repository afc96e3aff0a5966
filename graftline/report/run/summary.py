"""The content of `run.json` except for what the runner adds: pipeline, status, seconds and steps."""

from typing import Any

from graftline.evaluation.result import Estimate
from graftline.evaluation.tasks import TASKS
from graftline.models.checkpoint import CandidateResult
from graftline.report.run.artifacts import Run


def summary(run: Run) -> dict[str, Any]:
    """Returns the summary of a run; all values are plain JSON."""
    found = run.evaluation
    kind = TASKS[found.task]
    names = dict.fromkeys([*kind.summary_metrics, *found.test])
    shown = [kind.main_metric] if kind.summary_metrics else list(found.test)
    control = {name: found.control_test[name].value for name in shown if name in found.control_test}
    promoted = run.gate.verdict == "promote"
    return {
        "task": found.task,
        "candidates": [
            {"name": name, **_row(row), **_reached(run, name)}
            for name, row in zip(run.selection.names, run.selection.rows, strict=True)
        ],
        **_rungs(run),
        "selected": {"name": run.chosen.name, "source": run.chosen.row.source, "strategy": run.chosen.strategy},
        "test": {**{name: found.test[name].value for name in names if name in found.test}, "examples": found.examples},
        "test_intervals": {name: _ends(figure) for name, figure in found.test.items() if figure.low is not None},
        "control": {
            **control,
            "examples_seen": found.control.examples_seen[0],
            "converged": found.control.converged is True,
            "learning_rate": found.control.learning_rate,
        },
        "baselines": {name: figure.value for name, figure in found.baselines.items()},
        "best": found.best,
        "transfer_gain": found.gain.model_dump(mode="json"),
        "equal_cost": found.equal_cost.model_dump(mode="json") if found.equal_cost else None,
        "calibration": found.calibration.model_dump(mode="json") if found.calibration else None,
        "gate": {"verdict": run.gate.verdict, "reasons": run.gate.reasons},
        "onnx": {
            "path": "release/model.onnx" if promoted else None,
            "digest": run.onnx.digest,
            "max_abs_diff": run.onnx.parity.max_abs_diff,
            "argmax_agreement": run.onnx.parity.argmax_agreement,
            "latency": run.onnx.latency.model_dump(mode="json"),
            "int8": run.onnx.int8.model_dump(mode="json"),
        },
        "dataset_digest": {"source": _source_digests(run), "target": run.data.manifest.digest},
    }


def _reached(run: Run, name: str) -> dict[str, Any]:
    """Returns the last rung of a candidate of a tournament, and why it was eliminated."""
    stands = [stand for stand in run.selection.stands if stand.name == name]
    return {"rung": stands[-1].rung, "left": stands[-1].left} if stands else {}


def _rungs(run: Run) -> dict[str, Any]:
    """Returns each rung of a tournament with the results of its candidates."""
    stands = run.selection.stands
    rungs = [
        {
            "rung": rung,
            "examples_seen": end,
            "candidates": [stand.model_dump(mode="json") for stand in stands if stand.rung == rung],
        }
        for rung, end in enumerate(run.selection.ends, start=1)
    ]
    return {"budget": run.selection.budget, "rungs": rungs} if stands else {}


def _row(row: CandidateResult) -> dict[str, Any]:
    fields = {
        "source",
        "strategy",
        "status",
        "reason",
        "val_accuracy",
        "val_score",
        "val_score_se",
        "val_method",
        "train_seconds",
        "examples_seen",
        "trained_parameters",
        "converged",
        "recipe",
    }
    return row.model_dump(mode="json", include=fields)


def _ends(figure: Estimate) -> list[float | None]:
    return [figure.low, figure.high]


def _source_digests(run: Run) -> str | dict[str, str | None] | None:
    """Returns the digest of one source, or digests by label; None if a source has no data of its own."""
    found = {label: manifest.dataset_digest for label, manifest in run.sources.items()}
    return next(iter(found.values())) if len(found) == 1 else found or None
