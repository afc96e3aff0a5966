"""The file that ships, scored on the test split by itself and judged. Whatever cannot be judged is not promoted."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline.config.jobs import GateJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.evaluation.result import Evaluation, Figure, Predictions, read_predictions
from graftline.evaluation.statistics.intervals import wilson
from graftline.evaluation.tasks import TASKS, Rules
from graftline.evaluation.tasks.truth import Truth, truth_of
from graftline.evaluation.verdict import gate as judging
from graftline.evaluation.verdict.gate import Finding, GateResult
from graftline.evaluation.verdict.shipped import broken
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import OnnxManifest, OnnxModel
from graftline.runtime import events, manifest

_BATCH = 1024  # samples between two looks at the progress


def gate(job: GateJob, *, dataset: Path, onnx: Path, evaluation: Path, out: Path) -> GateResult:
    """Judges the exported file and writes the gate artifact. Needs no torch.

    Args:
        job: The policy's floors and delta.
        dataset: The target's dataset artifact.
        onnx: The exported file.
        evaluation: What was measured of the model it was exported from.
        out: The gate artifact.

    Raises:
        RefusedError: An artifact is not whole, was edited, or onnxruntime refuses the file.
    """
    data = datasets.read(dataset)
    exported = manifest.read(onnx, OnnxManifest, verify=True)
    evaluated = manifest.read(evaluation, Evaluation, verify=True)
    predictions = read_predictions(evaluation)
    findings = _comparable(data, exported, evaluated, predictions)
    numbers: dict[str, Figure] = {}
    flips: list[int] = []
    examples = 0
    if not findings:
        rules = TASKS[evaluated.task]
        outputs, answers = _score(model_file.load(onnx), data)
        examples = len(outputs)
        shipped = predictions.chosen[evaluated.chosen.seeds[0]]
        findings = broken(outputs, answers, shipped)
        if not findings:
            truth = truth_of(data.test, data.manifest)
            findings, flips = rules.same(
                outputs, answers, shipped, truth, evaluated.test, evaluated.per_class, temperature=evaluated.temperature
            )
            numbers = _figures(rules, outputs, truth, evaluated.temperature)
            findings += _policy(job, rules, outputs, truth, predictions, evaluated, numbers)
    verdict, reasons = judging.conclude(findings)
    result = GateResult(
        verdict=verdict,
        reasons=reasons,
        figures=numbers,
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
    """Holds where the artifacts do not speak of the same samples and classes."""
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


def _score(model: OnnxModel, data: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    parts = []
    for start in range(0, len(data.test), _BATCH):
        parts.append(model.run(data.test.images[start : start + _BATCH]))
        events.progress(min(start + _BATCH, len(data.test)), len(data.test), "scoring the file")
    return np.concatenate([outputs for outputs, _ in parts]), np.concatenate([answers for _, answers in parts])


def _figures(rules: Rules, outputs: NDArray[np.float32], truth: Truth, temperature: float) -> dict[str, Figure]:
    found, rows = rules.scored(outputs, truth, temperature=temperature, seed=0)
    for row in rows:
        if "rmse" in row:
            found[f"rmse/{row['class']}"] = Figure(value=row["rmse"])
        if "ap_low" in row:
            found[f"ap/{row['class']}"] = Figure(value=row["ap"], low=row["ap_low"], high=row["ap_high"])
    for name, hits, total in zip(truth.names, *(rules.recalls(outputs, truth) or ((), ())), strict=False):
        if total:
            low, high = wilson(int(hits), int(total))
            found[f"recall/{name}"] = Figure(value=float(hits / total), low=low, high=high)
    return found


def _policy(
    job: GateJob,
    rules: Rules,
    outputs: NDArray[np.float32],
    truth: Truth,
    predictions: Predictions,
    evaluated: Evaluation,
    numbers: dict[str, Figure],
) -> list[Finding]:
    policy = job.gate
    found = judging.floor_findings(policy, numbers)
    if policy.min_class_recall is not None:
        recalls = rules.recalls(outputs, truth)
        found += (
            judging.recall_findings(policy.min_class_recall, *recalls, evaluated.classes)
            if recalls
            else [
                Finding("hold", f"The file has no recall, so the floor {policy.min_class_recall:g} cannot be judged.")
            ]
        )
    if policy.beat_baselines:
        gaps = {
            name: rules.difference(outputs[None], guess[None], truth, seed=0)
            for name, guess in predictions.baselines.items()
        }
        found += judging.beside_findings(gaps, rules.TRIVIAL, evaluated.gain.unit, job.delta)
    found += judging.gain_findings(policy.require_positive_gain, evaluated.gain)
    return [*found, judging.FIRST_RELEASE]
