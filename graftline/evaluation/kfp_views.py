"""An evaluation as KFP's dashboard shows it: flat numbers, a confusion matrix, a ROC curve."""

from dataclasses import dataclass
from pathlib import Path

from scipy.special import softmax

from graftline.evaluation.metrics.curves import Curve, macro, one_vs_rest
from graftline.evaluation.result import Evaluation, shipped_logits
from graftline.runtime.manifest import read


@dataclass(frozen=True)
class KfpViews:
    """What `Metrics.log_metric`, `log_confusion_matrix` and `log_roc_curve` take."""

    metrics: dict[str, float]
    """Names such as `test_accuracy`, `test_accuracy_low`, `transfer_gain`, `baseline_forest`."""
    classes: list[str]
    confusion: list[list[int]]
    """Empty where the task is not classification."""
    roc: Curve | None
    """Of class 1 where there are two, else the mean over classes; None where test holds one class only, or none."""


def kfp_views(evaluation: Path) -> KfpViews:
    """Reads an evaluation artifact for display.

    Raises:
        RefusedError: The artifact is not whole.
    """
    found = read(evaluation, Evaluation)
    metrics = {
        "examples": float(found.examples),
        "temperature": found.temperature,
        "transfer_gain": found.gain.value,
        "transfer_gain_low": found.gain.low,
        "transfer_gain_high": found.gain.high,
    }
    tables = {"test": found.test, "control": found.control_test, "baseline": found.baselines}
    for side, figures in tables.items():
        for name, figure in figures.items():
            parts = {"": figure.value, "_low": figure.low, "_high": figure.high}
            metrics |= {f"{side}_{name}{end}": value for end, value in parts.items() if value is not None}
    return KfpViews(metrics, found.classes, found.confusion, _roc(evaluation, found))


def _roc(evaluation: Path, found: Evaluation) -> Curve | None:
    if found.task != "classification":
        return None
    labels, logits = shipped_logits(evaluation)
    probabilities = softmax(logits / found.temperature, axis=1)
    curves = one_vs_rest(probabilities, labels)
    if not curves:
        return None
    return curves[1] if len(found.classes) == 2 else macro(probabilities, labels)
