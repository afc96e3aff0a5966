"""Labels of the test split as metrics need them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import DatasetManifest, Split
from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.metrics.regression import scale_of


@dataclass(frozen=True)
class Truth:
    """Labels of a split with their names and scales."""

    labels: NDArray[Any]
    """(N,) classes; regression (N, D) values in their own units; multilabel (N, K) of 0 and 1."""
    names: list[str]
    """Of the classes, outputs or labels."""
    scale: NDArray[np.float64]
    """Regression: what errors are divided by before they are averaged over outputs, (D,); see `scale_of`."""
    deviation: NDArray[np.float64]
    """Regression: the labels' standard deviation here (where they are all equal: over training), (D,)."""


def truth_of(split: Split, manifest: DatasetManifest) -> Truth:
    """Returns the truth of one split of a dataset."""
    labels = np.asarray(split.labels)
    if not LABEL_TYPES[manifest.task].is_numeric:
        return Truth(labels, manifest.classes, np.ones(1), np.ones(1))
    deviation = labels.astype(np.float64).std(0)
    known = np.where(deviation > 0, deviation, np.asarray(manifest.target_std, np.float64))
    return Truth(labels, manifest.classes, scale_of(manifest.target_std), known)
