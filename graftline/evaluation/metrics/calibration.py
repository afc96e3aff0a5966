"""The debiased calibration error: is a prediction with 80% confidence correct in 80% of cases?

The debiased L2 estimator of Kumar, Liang and Ma 2019, 'Verified uncertainty calibration' (theorem 4.5's estimator):
in bins of equal mass, the squared gap between mean confidence and accuracy, less what chance alone adds to it. The
plain estimator calls a perfectly calibrated model miscalibrated when samples are few. As a root mean square it is at
least the usual L1 error.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from graftline.evaluation.arrays import Floats, Labels

MOST_BINS = 15
SAMPLES_A_BIN = 20  # at least, else fewer bins


class Bins(NamedTuple):
    """Samples by confidence; all of shape (B,)."""

    samples: Floats
    right: Floats
    """Correctly classified samples."""
    confidence: Floats
    """Mean probability of the predicted class."""


def calibration_metrics(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns the calibration error `ece` in 0..1.

    Args:
        logits: (N, K), N at least 1; divided by the temperature already, where there is one.
        labels: (N,), true classes.
    """
    return {"ece": float(np.sqrt(max(0.0, squared_error(bins_of(logits, labels)))))}


def bins_of(logits: Floats, labels: Labels) -> Bins:
    """Sorts samples into at most 15 bins of equal mass by the probability of the predicted class."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    return bins_by(probabilities.max(1), probabilities.argmax(1) == labels)


def bins_by(confidence: Floats, right: NDArray[np.bool_]) -> Bins:
    """Sorts answers into at most 15 bins of equal mass; equal confidences share a bin, so that the order is irrelevant.

    Args:
        confidence: (N,) stated probabilities, N at least 1.
        right: (N,), whether the prediction is correct.
    """
    edges = edges_of(confidence)
    bin_of = np.searchsorted(edges, confidence, side="right")
    count = np.bincount(bin_of, minlength=len(edges) + 1).astype(np.float64)
    hits = np.bincount(bin_of, right, minlength=len(edges) + 1).astype(np.float64)
    total = np.bincount(bin_of, confidence, minlength=len(edges) + 1)
    full = count > 0
    return Bins(count[full], hits[full], total[full] / count[full])


def edges_of(confidence: Floats) -> Floats:
    """Where bins of equal mass begin, but the first; `np.searchsorted(edges, confidence, side="right")` is the bin."""
    n = len(confidence)
    bins = max(1, min(MOST_BINS, n // SAMPLES_A_BIN))
    edges: Floats = np.unique(np.sort(confidence)[np.arange(1, bins) * n // bins])
    return edges


def squared_error(bins: Bins) -> float:
    """Sum over bins of share times ((accuracy - confidence)^2 - accuracy (1 - accuracy) / (samples - 1)).

    Without bias, so below 0 about half of the time where calibration is perfect.
    """
    accuracy = bins.right / bins.samples
    chance = accuracy * (1 - accuracy) / np.maximum(bins.samples - 1, 1)
    return float(bins.samples / bins.samples.sum() @ ((accuracy - bins.confidence) ** 2 - chance))
