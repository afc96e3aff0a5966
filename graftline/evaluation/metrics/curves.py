"""Computes one-vs-rest ROC curves of a classifier and their mean at equal thresholds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from graftline.evaluation.arrays import Floats, Labels

_POINTS = 101


@dataclass(frozen=True)
class Curve:
    """Points of a ROC curve from (0, 0) to (1, 1) as lists of equal length, as KFP's `log_roc_curve` expects."""

    fpr: list[float]
    tpr: list[float]
    thresholds: list[float]
    """Decreasing finite thresholds; a sample is predicted as positive if its probability is at least the threshold."""


def one_vs_rest(probabilities: Floats, labels: Labels) -> dict[int, Curve]:
    """Returns the ROC curve of each class against the rest.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,), true classes.

    Returns:
        Curves by class index. Classes that contain all or none of the samples have no curve and are omitted.
    """
    return {
        c: _curve(probabilities[:, c], labels == c)
        for c in range(probabilities.shape[1])
        if 0 < np.count_nonzero(labels == c) < len(labels)
    }


def macro(probabilities: Floats, labels: Labels) -> Curve:
    """Returns the mean ROC curve over classes at equal thresholds (threshold averaging, Fawcett 2006, section 8.2).

    Unlike a mean of sensitivities at equal specificity, each point has a threshold that can be applied. With two
    classes, it is the mean over both of them.

    Args:
        probabilities: (N, K), rows sum to 1.
        labels: (N,), true classes.

    Raises:
        ValueError: No class has a curve.
    """
    judged = [c for c in range(probabilities.shape[1]) if 0 < np.count_nonzero(labels == c) < len(labels)]
    if not judged:
        raise ValueError("no ROC curve: all samples are of one class")
    inner = np.quantile(probabilities[:, judged], np.linspace(1, 0, _POINTS))
    thresholds = np.unique(np.concatenate([[0.0], inner.astype(np.float64), [np.nextafter(1.0, 2.0)]]))[::-1]
    rates = np.zeros((2, len(thresholds)))
    for c in judged:
        for row, side in enumerate((labels != c, labels == c)):
            scores = np.sort(probabilities[side, c])
            rates[row] += 1 - np.searchsorted(scores, thresholds, side="left") / len(scores)
    fpr, tpr = rates / len(judged)
    return Curve(fpr.tolist(), tpr.tolist(), np.minimum(thresholds, 1.0).tolist())


def _curve(scores: Floats, positive: NDArray[np.bool_]) -> Curve:
    fpr, tpr, thresholds = roc_curve(positive, scores)
    return Curve(fpr.tolist(), tpr.tolist(), np.minimum(thresholds, 1.0).tolist())
