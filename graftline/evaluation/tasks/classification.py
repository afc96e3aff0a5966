"""Classification: one class per sample, compared by accuracy."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.data.labels import CLASS_INDEX
from graftline.evaluation.arrays import Floats
from graftline.evaluation.links import softmax
from graftline.evaluation.metrics.calibration import calibration_metrics
from graftline.evaluation.metrics.classification import classification_metrics, confusion, per_class
from graftline.evaluation.result import Estimate
from graftline.evaluation.statistics.estimates import estimate_metrics
from graftline.evaluation.statistics.intervals import standard_error_of_mean_proportion, wilson
from graftline.evaluation.statistics.temperature import calibrate
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.task_kind import ReportWords, TaskKind
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, paired_difference
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_model import ExportedOutputs, check_class_metrics, check_same_model

if TYPE_CHECKING:
    from torch import Tensor

    from graftline.evaluation.torch_functions import Loss


def _estimate_metrics(
    logits: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Estimate], list[dict[str, Any]]]:
    """Returns all metrics with their intervals, and a row per class."""
    return (
        estimate_metrics(logits / temperature, truth.labels, seed=seed),
        per_class(logits.argmax(1), truth.labels, truth.names),
    )


def _difference(first: NDArray[Any], second: NDArray[Any], truth: Truth, *, seed: int) -> Difference:
    """Returns the first accuracy minus the second; logits (S, N, K), or predicted classes (S, N)."""
    return paired_difference(_correct(first, truth), _correct(second, truth), seed=seed)


def _score(logits: Floats, truth: Truth) -> float:
    """Returns the accuracy."""
    return float((logits.argmax(1) == truth.labels).mean())


def _baseline_predictions(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Returns the majority class and the classes that a random forest predicts, (N,) each."""
    forest, notes = baselines.forest(data.train, data.test, seed=seed)
    return {"majority": baselines.majority(data.train, data.test), "forest": forest}, notes


def _baseline_score(predicted: NDArray[Any], truth: Truth, *, seed: int) -> Estimate:
    """Returns a baseline's accuracy."""
    hits, n = int((predicted == truth.labels).sum()), len(predicted)
    low, high = wilson(hits, n)
    return Estimate(value=hits / n, low=low, high=high)


def _min_class_count(data: Dataset) -> tuple[int, str]:
    """Returns the number of training images of the smallest class."""
    counts = np.bincount(data.train.labels, minlength=len(data.manifest.classes))
    return int(counts.min()), "labels in the smallest class"


def _confusion_matrix(logits: Floats, truth: Truth) -> list[list[int]]:
    """Returns the confusion matrix."""
    counts: list[list[int]] = confusion(logits.argmax(1), truth.labels, len(truth.names)).tolist()
    return counts


def _recalls(logits: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Returns recognized samples and all samples of each class."""
    counts = confusion(logits.argmax(1), truth.labels, len(truth.names))
    return np.diag(counts), counts.sum(1)


def _check_exported(exported: ExportedOutputs, truth: Truth) -> tuple[list[Finding], list[int]]:
    """Checks predictions, probabilities and stated metrics."""
    temperature = exported.temperature
    findings, flips = check_same_model(
        exported.outputs, exported.probabilities, exported.evaluated, temperature=temperature
    )
    logits = exported.outputs / temperature
    stated = check_class_metrics(logits, truth.labels, exported.stated, exported.rows, flips=len(flips))
    return [*findings, *stated], flips


def _correct(answers: NDArray[Any], truth: Truth) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (answers.argmax(2) if answers.ndim == 3 else answers) == truth.labels
    return result


def _validation_score(logits: Floats, labels: NDArray[Any], deviation: Floats) -> tuple[float, float, float]:
    """Returns accuracy, balanced accuracy and its standard error: that of a mean of binomial proportions."""
    correct = logits.argmax(1) == labels
    of_class = [correct[labels == index] for index in np.unique(labels)]
    recall = float(np.mean([hits.mean() for hits in of_class]))
    return (
        float(correct.mean()),
        recall,
        standard_error_of_mean_proportion([(float(hits.sum()), len(hits)) for hits in of_class]),
    )


def _losses() -> "dict[str, Loss]":
    from graftline.evaluation.torch_functions import cross_entropy, mse

    return {"cross_entropy": cross_entropy, "mse": mse}


def _kl_divergence(student: "Tensor", teacher: "Tensor") -> "Tensor":
    from graftline.evaluation.torch_functions import kl_divergence

    return kl_divergence(student, teacher)


def _torch_softmax(logits: "Tensor") -> "Tensor":
    from graftline.evaluation.torch_functions import softmax

    return softmax(logits)


def _differing_rows(reference: Floats, outputs: Floats) -> NDArray[np.int64]:
    """Returns the rows whose most likely class differs."""
    return np.flatnonzero(outputs.argmax(1) != reference.argmax(1))


def _describe_flip(reference: Floats, outputs: Floats) -> tuple[float, str]:
    """Returns how far apart the two classes are in the reference, and a description of the difference."""
    ours, theirs = int(reference.argmax()), int(outputs.argmax())
    return float(reference[ours] - reference[theirs]), (
        f"test image {{image}} is class {ours} by PyTorch (logit {reference[ours]:.6g}) and class {theirs} by "
        f"{{runtime}} (PyTorch's logit {reference[theirs]:.6g}, onnxruntime's {outputs[theirs]:.6g})"
    )


CLASSIFICATION = TaskKind(
    name="classification",
    label_type=CLASS_INDEX,
    words=ReportWords(
        nouns=("class", "classes"),
        validation_metric="balanced accuracy",
        row_metric=("recall", "recall"),
        model_card="Classification of images into",
        limits="It always predicts one of these classes, even for an image that shows none of them.",
    ),
    metrics={"classification": classification_metrics, "calibration": calibration_metrics},
    main_metric="accuracy",
    lower_is_better=False,
    trivial_baseline="majority",
    loss_names=("cross_entropy", "mse"),
    losses=_losses,
    distillation_loss=_kl_divergence,
    torch_link=_torch_softmax,
    link=softmax,
    estimate_metrics=_estimate_metrics,
    difference=_difference,
    score=_score,
    validation_score=_validation_score,
    baseline_predictions=_baseline_predictions,
    baseline_score=_baseline_score,
    min_class_count=_min_class_count,
    check_exported=_check_exported,
    calibrate=calibrate,
    confusion_matrix=_confusion_matrix,
    recalls=_recalls,
    differing_rows=_differing_rows,
    describe_flip=_describe_flip,
    summary_metrics=("accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "ece", "loss"),
)
