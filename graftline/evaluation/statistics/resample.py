"""Bootstrap draws of samples, as counts: how often each sample stands in each draw."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from graftline.evaluation.statistics.intervals import Interval, Z

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # cells held in memory

Floats = NDArray[np.floating]
Counts = NDArray[np.int32]


def draws(n: int, random: np.random.Generator, *, resamples: int = RESAMPLES, each: int = 1) -> Iterator[Counts]:
    """Draws n of n samples again and again.

    Args:
        n: Samples, at least 1.
        random: Draws them.
        resamples: R in all.
        each: Values that the caller holds for each sample and draw; keeps the parts small.

    Yields:
        Counts (n, r); r adds up to `resamples`.
    """
    most = max(1, _AT_ONCE // (n * each))
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        cells = random.integers(0, n, size=(n, rows)) * rows + np.arange(rows)
        yield np.bincount(cells.ravel(), minlength=n * rows).reshape(n, rows).astype(np.int32)


def around(value: float, drawn: Floats, n: int, *, low: float = -np.inf, high: float = np.inf) -> Interval:
    """The 95% interval that draws leave around a value, freed of their bias and stretched to Student's t.

    Args:
        value: Of the samples themselves.
        drawn: (R,), of the draws.
        n: Samples.
        low: Least that the figure can be.
        high: Most.
    """
    stretch = float(student.ppf(0.975, max(n - 1, 1))) / Z
    ends = np.quantile(drawn - drawn.mean(), [0.025, 0.975]) * stretch + value
    return Interval(min(value, max(low, float(ends[0]))), max(value, min(high, float(ends[1]))))
