"""The file that ships, scored on the test split by itself and judged. Whatever cannot be judged is not promoted."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline import dataset as datasets
from graftline import events, manifest, onnx_file
from graftline.dataset import Dataset
from graftline.evaluation import Evaluation, Figure, Predictions, read_predictions
from graftline.jobs import GateJob
from graftline.metrics.classification import confusion
from graftline.onnx_file import OnnxManifest, OnnxModel
from graftline.proof import gate as judging
from graftline.proof.figures import figures
from graftline.proof.gate import Finding, GateResult
from graftline.proof.intervals import wilson
from graftline.proof.shipped import same_figures, same_model

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
        logits, probabilities = _score(onnx_file.load(onnx), data)
        examples = len(logits)
        shipped = predictions.chosen[evaluated.chosen.seeds[0]]
        findings, flips = same_model(logits, probabilities, shipped, temperature=evaluated.calibration.temperature)
        if np.isfinite(logits).all() and logits.shape == shipped.shape:
            scaled = logits / evaluated.calibration.temperature
            numbers = _figures(scaled, predictions.labels, evaluated.classes)
            findings += same_figures(scaled, predictions.labels, evaluated.test, evaluated.per_class, flips=len(flips))
            findings += _policy(job, logits, predictions, evaluated, numbers)
    verdict, reasons = judging.conclude(findings)
    result = GateResult(verdict=verdict, reasons=reasons, figures=numbers, champion=None, onnx_digest=exported.digest,
                        dataset_digest=data.manifest.digest, examples=examples, flips=flips)
    out.mkdir(parents=True, exist_ok=True)
    events.log(f"gate: {verdict}. {' '.join(reasons)}")
    return manifest.write(out, result)


def _comparable(data: Dataset, exported: OnnxManifest, evaluated: Evaluation,
                predictions: Predictions) -> list[Finding]:
    """Holds where the artifacts do not speak of the same samples and classes."""
    digest, count = data.manifest.digest, len(data.test)
    shipped = predictions.chosen.get((evaluated.chosen.seeds or [-1])[0])
    doubts = {
        "the evaluation was made on another dataset": evaluated.dataset_digest != digest,
        "the file was exported for another dataset": exported.facts.dataset_digest != digest,
        "the classes of dataset, evaluation and file differ":
            not data.manifest.classes == evaluated.classes == exported.facts.classes,
        "the evaluation's figures by class are not those of its classes":
            [line["class"] for line in evaluated.per_class] != evaluated.classes,
        "the test split is empty": count == 0,
        f"the evaluation counts {evaluated.examples:,} samples, the test split has {count:,}":
            evaluated.examples != count,
        "the stored labels are not those of the test split":
            not np.array_equal(predictions.labels, np.asarray(data.test.labels)),
        "the evaluation holds no answers of the model that ships": shipped is None,
    }
    return [Finding("hold", f"Nothing can be compared: {doubt}.") for doubt, there in doubts.items() if there]


def _score(model: OnnxModel, data: Dataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    parts = []
    for start in range(0, len(data.test), _BATCH):
        parts.append(model.run(data.test.images[start:start + _BATCH]))
        events.progress(min(start + _BATCH, len(data.test)), len(data.test), "scoring the file")
    return np.concatenate([logits for logits, _ in parts]), np.concatenate([shares for _, shares in parts])


def _figures(logits: NDArray[np.float32], labels: NDArray[np.int64], classes: list[str]) -> dict[str, Figure]:
    found = figures(logits, labels, seed=0)
    counts = confusion(logits.argmax(1), labels, len(classes))
    for name, row, hits in zip(classes, counts, np.diag(counts), strict=True):
        if total := int(row.sum()):
            low, high = wilson(int(hits), total)
            found[f"recall/{name}"] = Figure(value=float(hits / total), low=low, high=high)
    return found


def _policy(job: GateJob, logits: NDArray[np.float32], predictions: Predictions, evaluated: Evaluation,
            numbers: dict[str, Figure]) -> list[Finding]:
    policy, labels, predicted = job.gate, predictions.labels, logits.argmax(1)
    found = judging.floor_findings(policy, numbers)
    found += judging.class_findings(policy.min_class_recall, confusion(predicted, labels, len(evaluated.classes)),
                                    evaluated.classes)
    if policy.beat_baselines:
        baselines = {name: guess == labels for name, guess in predictions.baselines.items()}
        found += judging.baseline_findings(predicted == labels, baselines, job.delta)
    found += judging.gain_findings(policy.require_positive_gain, evaluated.gain)
    return [*found, judging.FIRST_RELEASE]
