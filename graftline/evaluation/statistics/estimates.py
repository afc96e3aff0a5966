"""Computes the metrics of a classifier on one split, with 95% confidence intervals."""

import numpy as np

from graftline.evaluation.arrays import Floats, Labels
from graftline.evaluation.metrics.calibration import Bins, bins_of, calibration_metrics, squared_error
from graftline.evaluation.metrics.classification import classification_metrics, losses
from graftline.evaluation.result import Estimate
from graftline.evaluation.statistics.intervals import Interval, wilson

RESAMPLES = 2000
_AT_ONCE = 1_000_000  # maximum number of drawn samples in memory


def measure_classes(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns all metrics of a classifier from logits (N, K) and true classes (N,)."""
    return classification_metrics(logits, labels) | calibration_metrics(logits, labels)


def estimate_metrics(logits: Floats, labels: Labels, *, seed: int) -> dict[str, Estimate]:
    """Returns all metrics of one model with their 95% confidence intervals.

    Accuracy has Wilson's score interval; for ece see `ece_interval`. The other metrics have a bootstrap interval over
    samples, widened by the bootstrap bias. One pseudo-sample with a random prediction is added to the resamples, so
    that a perfect score also has an interval of nonzero width. A metric that is equal in all resamples (a loss that is
    the same for all samples, precision in a split of one class) has no interval.

    Args:
        logits: (N, K), finite, already divided by the temperature.
        labels: (N,), true classes, N at least 1.
        seed: Seed of the resampling.
    """
    values = measure_classes(logits, labels)
    random = np.random.default_rng(seed)
    predicted = logits.argmax(1)
    draws = _bootstrap(predicted, labels, losses(logits, labels), logits.shape[1], random)
    intervals = {name: _around(values[name], draw, 1.0 if name != "loss" else np.inf) for name, draw in draws.items()}
    intervals["accuracy"] = wilson(int((predicted == labels).sum()), len(labels))
    intervals["ece"] = ece_interval(bins_of(logits, labels), random)
    return {name: _estimate(value, *intervals[name]) for name, value in values.items()}


def ece_interval(bins: Bins, random: np.random.Generator) -> Interval:
    """Returns the 95% interval of the debiased calibration error, with the bins and their confidences held fixed.

    The accuracy of each bin is drawn from its posterior under Jeffreys' prior. The quantiles of the deviations of the
    squared error from its mean give the width. The lower bound is 0 if perfect calibration cannot be excluded.

    Args:
        bins: Bins of the test split.
        random: Generator that draws 2,000 accuracies per bin.
    """
    accuracy = random.beta(bins.right + 0.5, bins.samples - bins.right + 0.5, size=(RESAMPLES, len(bins.samples)))
    squared = (accuracy - bins.confidence) ** 2 @ (bins.samples / bins.samples.sum())
    low, high = np.quantile(squared - squared.mean(), [0.025, 0.975]) + max(0.0, squared_error(bins))
    return Interval(float(np.sqrt(max(0.0, low))), min(1.0, float(np.sqrt(high))))


def macro_scores(right: Floats, predicted: Floats, actual: Floats) -> dict[str, Floats]:
    """Returns macro metrics computed from counts, for many resamples at once.

    Args:
        right: (R, K), number of correctly predicted samples of each class.
        predicted: (R, K), number of samples predicted as each class.
        actual: (R, K), number of samples of each class.

    Returns:
        Values (R,) by metric name, as means over the classes that have samples, as in `metrics.classification`.
    """
    present = actual > 0
    classes = present.sum(1)
    recall = np.where(present, right / np.maximum(actual, 1), 0)
    precision = np.where(present, right / np.maximum(predicted, 1), 0)
    f1 = np.where(present, 2 * right / np.maximum(predicted + actual, 1), 0)
    macro = {"recall": recall.sum(1) / classes, "precision": precision.sum(1) / classes, "f1": f1.sum(1) / classes}
    return {"balanced_accuracy": macro["recall"], **{f"macro_{name}": values for name, values in macro.items()}}


def _bootstrap(
    predicted: Labels, labels: Labels, lost: Floats, classes: int, random: np.random.Generator
) -> dict[str, Floats]:
    n = len(labels)
    rows = max(1, _AT_ONCE // n)
    parts = [
        _scores_of_draw(predicted, labels, lost, classes, min(rows, RESAMPLES - start), random)
        for start in range(0, RESAMPLES, rows)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _scores_of_draw(
    predicted: Labels, labels: Labels, lost: Floats, classes: int, rows: int, random: np.random.Generator
) -> dict[str, Floats]:
    drawn = random.integers(0, len(labels), size=(rows, len(labels)))
    actual, resampled = labels[drawn], predicted[drawn]
    imagined = random.integers(0, resampled.size, size=random.binomial(resampled.size, 1 / (len(labels) + 1)))
    resampled.ravel()[imagined] = random.integers(0, classes, size=len(imagined))
    offset = np.arange(rows)[:, None] * classes

    def count(cells: Labels) -> Floats:
        return np.bincount(cells.ravel(), minlength=rows * classes).reshape(rows, classes).astype(np.float64)

    scores = macro_scores(
        count((actual + offset)[actual == resampled]), count(resampled + offset), count(actual + offset)
    )
    return {**scores, "loss": lost[drawn].mean(1)}


def _around(value: float, draws: Floats, most: float) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    bias = float(draws.mean()) - value
    return Interval(max(0.0, float(low) - max(0.0, bias)), min(most, float(high) - min(0.0, bias)))


def _estimate(value: float, low: float, high: float) -> Estimate:
    if high - low < 1e-12:
        return Estimate(value=value)
    return Estimate(value=value, low=min(low, value), high=max(high, value))
