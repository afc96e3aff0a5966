"""Computes metrics of multilabel models: average precision, F1, log loss and calibration error."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score

from graftline.evaluation.arrays import Floats
from graftline.evaluation.metrics.calibration import bins_by, squared_error

Labels = NDArray[np.floating] | NDArray[np.bool_]


def multilabel_metrics(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns macro and micro average precision, macro F1 at 0.5, exact matches, log loss and calibration error.

    Average precision is sum_n (R_n - R_n-1) P_n over decreasing thresholds, without interpolation. Macro means are
    taken over the labels that occur in at least one sample; they are 0 if no label occurs. `exact` is the share of
    samples with all labels correct, `loss` is the mean binary cross-entropy in nats, and `ece` is the debiased
    calibration error over all (sample, label) pairs.

    Args:
        logits: (N, K), N at least 1, already divided by the temperature, if any.
        labels: (N, K), 0 or 1.
    """
    there = labels > 0.5
    judged = there.any(0)
    predicted = logits > 0
    return {
        "macro_ap": macro_ap(logits, labels),
        "micro_ap": float(average_precision_score(there.ravel(), logits.ravel())) if judged.any() else 0.0,
        "macro_f1": float(rates(logits, labels)[2][judged].mean()) if judged.any() else 0.0,
        "exact": float((predicted == there).all(1).mean()),
        "loss": float(losses(logits, labels).mean()),
        "ece": calibration_error(logits, labels),
    }


def macro_ap(logits: Floats, labels: Labels) -> float:
    """Returns the mean average precision over the labels that occur in at least one sample, the main metric.

    Args:
        logits: (N, K).
        labels: (N, K), 0 or 1.
    """
    found = average_precisions(logits, labels)
    return float(np.nanmean(found)) if np.isfinite(found).any() else 0.0


def average_precisions(logits: Floats, labels: Labels) -> Floats:
    """Returns the average precision (K,) of each label; NaN for labels that do not occur."""
    there = labels > 0.5
    return np.array(
        [
            average_precision_score(there[:, k], logits[:, k]) if there[:, k].any() else np.nan
            for k in range(there.shape[1])
        ]
    )


def per_label(logits: Floats, labels: Labels, names: list[str]) -> list[dict[str, float | int | str]]:
    """Returns average precision, precision, recall and F1 at 0.5, and the number of examples of each label."""
    columns = rates(logits, labels)
    return [
        {
            "class": name,
            "ap": float(np.nan_to_num(ap)),
            "precision": float(p),
            "recall": float(r),
            "f1": float(f),
            "examples": int(n),
        }
        for name, ap, p, r, f, n in zip(
            names, average_precisions(logits, labels), *columns, (labels > 0.5).sum(0), strict=True
        )
    ]


def rates(logits: Floats, labels: Labels) -> tuple[Floats, Floats, Floats]:
    """Returns precision, recall and F1 at 0.5 of each label, (K,) each; ratios with denominator 0 are 0."""
    present, positive = labels > 0.5, logits > 0
    hits, actual, predicted = (present & positive).sum(0), present.sum(0), positive.sum(0)
    return (hits / np.maximum(predicted, 1), hits / np.maximum(actual, 1), 2 * hits / np.maximum(predicted + actual, 1))


def losses(logits: Floats, labels: Labels) -> Floats:
    """Returns the binary cross-entropy (N, K) in nats of each sample and label."""
    sure = np.asarray(logits, np.float64)
    found: Floats = np.logaddexp(0, np.where(labels > 0.5, -sure, sure))
    return found


def calibration_error(logits: Floats, labels: Labels) -> float:
    """Returns the debiased calibration error in 0..1 over the probabilities of all (sample, label) pairs."""
    bins = bins_by(expit(np.asarray(logits, np.float64)).ravel(), labels.ravel() > 0.5)
    return float(np.sqrt(max(0.0, squared_error(bins))))
