"""Evaluates the exported ONNX file on the test split and decides whether to promote it.

A file that cannot be evaluated is not promoted.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline.config.jobs import GateJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.evaluation.result import Estimate, Evaluation, Predictions, read_predictions
from graftline.evaluation.statistics.intervals import wilson
from graftline.evaluation.tasks import TASKS
from graftline.evaluation.tasks.task_kind import TaskKind
from graftline.evaluation.tasks.truth import Truth, truth_of
from graftline.evaluation.verdict import gate as judging
from graftline.evaluation.verdict.gate import Finding, GateResult
from graftline.evaluation.verdict.same_model import ExportedOutputs, find_invalid_outputs
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import OnnxManifest, OnnxModel
from graftline.runtime import events, manifest

_BATCH = 1024  # number of samples between two progress reports


def gate(job: GateJob, *, dataset: Path, onnx: Path, evaluation: Path, out: Path) -> GateResult:
    """Evaluates the exported file against the policy and writes the gate artifact. Does not require torch.

    Args:
        job: The gate job, with the thresholds of the policy and delta.
        dataset: The target's dataset artifact.
        onnx: The ONNX artifact.
        evaluation: The evaluation artifact of the model that was exported.
        out: Folder for the gate artifact.

    Returns:
        The verdict with its reasons and metrics.

    Raises:
        RefusedError: An artifact is incomplete or was edited, or onnxruntime cannot load the file.
    """
    data = datasets.read(dataset)
    exported = manifest.read(onnx, OnnxManifest, verify=True)
    evaluated = manifest.read(evaluation, Evaluation, verify=True)
    predictions = read_predictions(evaluation)
    findings = _comparable(data, exported, evaluated, predictions)
    metrics: dict[str, Estimate] = {}
    flips: list[int] = []
    examples = 0
    if not findings:
        kind = TASKS[evaluated.task]
        outputs, probabilities = _run(model_file.load(onnx), data)
        examples = len(outputs)
        tested = predictions.chosen[evaluated.chosen.seeds[0]]
        findings = find_invalid_outputs(outputs, probabilities, tested)
        if not findings:
            truth = truth_of(data.test, data.manifest)
            file = ExportedOutputs(
                outputs, probabilities, tested, evaluated.test, evaluated.per_class, evaluated.temperature
            )
            findings, flips = kind.check_exported(file, truth)
            metrics = _metrics(kind, outputs, truth, evaluated.temperature)
            findings += _policy_findings(job, _Judged(kind, outputs, truth, metrics), predictions, evaluated)
    verdict, reasons = judging.conclude(findings)
    result = GateResult(
        verdict=verdict,
        reasons=reasons,
        figures=metrics,
        champion=None,
        onnx_digest=exported.digest,
        dataset_digest=data.manifest.digest,
        examples=examples,
        flips=flips,
    )
    out.mkdir(parents=True, exist_ok=True)
    events.log(f"gate: {verdict}. {' '.join(reasons)}")
    return manifest.write(out, result)


def _comparable(
    data: Dataset, exported: OnnxManifest, evaluated: Evaluation, predictions: Predictions
) -> list[Finding]:
    """Returns a `hold` finding for each mismatch of samples, classes, or tasks between the artifacts."""
    digest, count = data.manifest.digest, len(data.test)
    shipped = predictions.chosen.get((evaluated.chosen.seeds or [-1])[0])
    doubts = {
        "the evaluation was made on another dataset": evaluated.dataset_digest != digest,
        "the file was exported for another dataset": exported.facts.dataset_digest != digest,
        "the tasks of dataset, evaluation and file differ": not data.manifest.task
        == evaluated.task
        == exported.facts.task
        or evaluated.task not in TASKS,
        "the classes of dataset, evaluation and file differ": not data.manifest.classes
        == evaluated.classes
        == exported.facts.classes,
        "the evaluation's figures by class are not those of its classes": [
            line["class"] for line in evaluated.per_class
        ]
        != evaluated.classes,
        "the test split is empty": count == 0,
        f"the evaluation counts {evaluated.examples:,} samples, the test split has {count:,}": evaluated.examples
        != count,
        "the stored labels are not those of the test split": not np.array_equal(
            predictions.labels, np.asarray(data.test.labels)
        ),
        "the evaluation holds no answers of the model that ships": shipped is None,
    }
    return [Finding("hold", f"Nothing can be compared: {doubt}.") for doubt, there in doubts.items() if there]


def _run(model: OnnxModel, data: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the file's outputs and probabilities on the test split; for regression, the values twice."""
    parts = []
    for start in range(0, len(data.test), _BATCH):
        parts.append(model.run(data.test.images[start : start + _BATCH]))
        events.progress(min(start + _BATCH, len(data.test)), len(data.test), "scoring the file")
    return np.concatenate([outputs for outputs, _ in parts]), np.concatenate([shares for _, shares in parts])


@dataclass(frozen=True)
class _Judged:
    """The exported file's outputs on the test split and their metrics."""

    kind: TaskKind
    outputs: NDArray[np.float32]
    truth: Truth
    metrics: dict[str, Estimate]


def _metrics(kind: TaskKind, outputs: NDArray[np.float32], truth: Truth, temperature: float) -> dict[str, Estimate]:
    metrics, rows = kind.evaluate_metrics(outputs, truth, temperature=temperature, seed=0)
    for row in rows:
        if "rmse" in row:
            metrics[f"rmse/{row['class']}"] = Estimate(value=row["rmse"])
        if "ap_low" in row:
            metrics[f"ap/{row['class']}"] = Estimate(value=row["ap"], low=row["ap_low"], high=row["ap_high"])
    for name, hits, total in zip(truth.names, *(kind.recalls(outputs, truth) or ((), ())), strict=False):
        if total:
            low, high = wilson(int(hits), int(total))
            metrics[f"recall/{name}"] = Estimate(value=float(hits / total), low=low, high=high)
    return metrics


def _policy_findings(job: GateJob, judged: _Judged, predictions: Predictions, evaluated: Evaluation) -> list[Finding]:
    policy, kind = job.gate, judged.kind
    findings = judging.floor_findings(policy, judged.metrics)
    if policy.min_class_recall is not None:
        recalls = kind.recalls(judged.outputs, judged.truth)
        findings += (
            judging.recall_findings(policy.min_class_recall, *recalls, evaluated.classes)
            if recalls
            else [
                Finding("hold", f"The file has no recall, so the floor {policy.min_class_recall:g} cannot be judged.")
            ]
        )
    if policy.beat_baselines:
        differences = {
            name: kind.difference(judged.outputs[None], baseline[None], judged.truth, seed=0)
            for name, baseline in predictions.baselines.items()
        }
        findings += judging.baseline_findings(differences, kind.trivial_baseline, evaluated.gain.unit, job.delta)
    findings += judging.gain_findings(policy.require_positive_gain, evaluated.gain)
    return [*findings, judging.FIRST_RELEASE]
