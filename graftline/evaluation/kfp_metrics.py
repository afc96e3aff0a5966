"""Metrics of an evaluation as KFP's dashboard shows them: flat numbers, a confusion matrix, a ROC curve."""

from dataclasses import dataclass
from pathlib import Path

from scipy.special import softmax

from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.metrics.curves import Curve, macro, one_vs_rest
from graftline.evaluation.result import Evaluation, chosen_outputs
from graftline.runtime.manifest import read


@dataclass(frozen=True)
class KfpMetrics:
    """Arguments of `Metrics.log_metric`, `log_confusion_matrix` and `log_roc_curve`."""

    metrics: dict[str, float]
    """Names such as `test_accuracy`, `test_accuracy_low`, `transfer_gain`, `baseline_forest`."""
    classes: list[str]
    confusion: list[list[int]]
    """Empty where the task is not classification."""
    roc: Curve | None
    """Of class 1 where there are two, else the mean over classes; None where test holds one class only, or none."""


def kfp_metrics(folder: Path) -> KfpMetrics:
    """Reads an evaluation artifact for display.

    Raises:
        RefusedError: The artifact is incomplete.
    """
    evaluation = read(folder, Evaluation)
    metrics = {
        "examples": float(evaluation.examples),
        "temperature": evaluation.temperature,
        "transfer_gain": evaluation.gain.value,
        "transfer_gain_low": evaluation.gain.low,
        "transfer_gain_high": evaluation.gain.high,
    }
    tables = {"test": evaluation.test, "control": evaluation.control_test, "baseline": evaluation.baselines}
    for table, estimates in tables.items():
        for name, estimate in estimates.items():
            parts = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            metrics |= {f"{table}_{name}{end}": value for end, value in parts.items() if value is not None}
    return KfpMetrics(metrics, evaluation.classes, evaluation.confusion, _roc(folder, evaluation))


def _roc(folder: Path, evaluation: Evaluation) -> Curve | None:
    if not LABEL_TYPES[evaluation.task].is_class:
        return None
    labels, logits = chosen_outputs(folder)
    probabilities = softmax(logits / evaluation.temperature, axis=1)
    curves = one_vs_rest(probabilities, labels)
    if not curves:
        return None
    return curves[1] if len(evaluation.classes) == 2 else macro(probabilities, labels)
