"""Metrics: (logits, labels) -> named numbers. One family a file, one table."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from graftline.metrics import calibration, classification

Family = Callable[[NDArray[np.floating], NDArray[np.int64]], dict[str, float]]
"""Takes logits (N, K) and labels (N,) with N at least 1, returns finite numbers, whatever the order of the samples."""

METRICS: dict[str, Family] = {
    "classification": classification.figures,
    "calibration": calibration.figures,
}


def measure(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, float]:
    """Returns all families' numbers of one model in one dict."""
    return {name: value for family in METRICS.values() for name, value in family(logits, labels).items()}
