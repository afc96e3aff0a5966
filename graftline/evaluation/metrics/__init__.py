"""Metrics: (outputs, labels) -> named numbers. One family a file, one table by task."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.evaluation.metrics import calibration, classification, multilabel, regression

Family = Callable[[NDArray[np.floating], NDArray[Any]], dict[str, float]]
"""Takes outputs (N, K) and the task's labels with N at least 1, returns finite numbers, whatever the samples' order."""

METRICS: dict[str, dict[str, Family]] = {
    "classification": {"classification": classification.figures, "calibration": calibration.figures},
    "regression": {"regression": regression.figures},
    "multilabel": {"multilabel": multilabel.figures},
}


def measure(outputs: NDArray[np.floating], labels: NDArray[Any], task: str = "classification") -> dict[str, float]:
    """Returns all families' numbers of one model in one dict.

    Args:
        outputs: (N, K) logits; for regression values, in the unit that their errors are counted in.
        labels: (N,) classes; for regression (N, K) values, for multilabel (N, K) of 0 and 1.
        task: A key of `METRICS`.
    """
    return {name: value for family in METRICS[task].values() for name, value in family(outputs, labels).items()}
