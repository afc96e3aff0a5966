"""Draws bootstrap resamples as counts of how often each resample contains each sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from graftline.evaluation.arrays import Floats
from graftline.evaluation.statistics.intervals import Interval, Z

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # maximum number of values in memory

Counts = NDArray[np.int32]


def bootstrap_counts(
    n: int, random: np.random.Generator, *, resamples: int = RESAMPLES, each: int = 1
) -> Iterator[Counts]:
    """Yields bootstrap resamples of n samples.

    Args:
        n: Number of samples, at least 1.
        random: Generator that draws the resamples.
        resamples: Total number of resamples.
        each: Number of values that the caller stores per sample and resample; limits the size of the parts.

    Yields:
        Counts (n, r); the values of r add up to `resamples`.
    """
    most = max(1, _AT_ONCE // (n * each))
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        cells = random.integers(0, n, size=(n, rows)) * rows + np.arange(rows)
        yield np.bincount(cells.ravel(), minlength=n * rows).reshape(n, rows).astype(np.int32)


def bootstrap_interval(value: float, drawn: Floats, n: int, *, low: float = -np.inf, high: float = np.inf) -> Interval:
    """Returns the bias-corrected 95% bootstrap interval around a value, scaled to Student's t.

    Args:
        value: Value on the original samples.
        drawn: (R,), values on the resamples.
        n: Number of samples.
        low: Smallest possible value.
        high: Largest possible value.
    """
    stretch = float(student.ppf(0.975, max(n - 1, 1))) / Z
    ends = np.quantile(drawn - drawn.mean(), [0.025, 0.975]) * stretch + value
    return Interval(min(value, max(low, float(ends[0]))), max(value, min(high, float(ends[1]))))
