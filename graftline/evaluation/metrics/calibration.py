"""Computes the debiased calibration error, the difference between confidence and accuracy.

This is the debiased L2 estimator of Kumar, Liang and Ma 2019, 'Verified uncertainty calibration' (theorem 4.5): in bins
of equal mass, the squared difference between mean confidence and accuracy, minus its expected value by chance. With few
samples, the plain estimator reports an error even for a perfectly calibrated model. Because the error is a root mean
square, it is at least the usual L1 error.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from graftline.evaluation.arrays import Floats, Labels

MOST_BINS = 15
SAMPLES_A_BIN = 20  # minimum; with fewer samples, fewer bins are used


class Bins(NamedTuple):
    """Samples binned by confidence; all arrays have shape (B,)."""

    samples: Floats
    """Number of samples."""
    right: Floats
    """Number of correctly classified samples."""
    confidence: Floats
    """Mean probability of the predicted class."""


def calibration_metrics(logits: Floats, labels: Labels) -> dict[str, float]:
    """Returns the calibration error `ece` in 0..1.

    Args:
        logits: (N, K), N at least 1, already divided by the temperature, if any.
        labels: (N,), true classes.
    """
    return {"ece": float(np.sqrt(max(0.0, squared_error(bins_of(logits, labels)))))}


def bins_of(logits: Floats, labels: Labels) -> Bins:
    """Returns at most 15 bins of equal mass, with samples binned by the probability of the predicted class."""
    probabilities = softmax(logits.astype(np.float64), axis=1)
    return bins_by(probabilities.max(1), probabilities.argmax(1) == labels)


def bins_by(confidence: Floats, right: NDArray[np.bool_]) -> Bins:
    """Returns at most 15 bins of equal mass; equal confidences share a bin, so the sample order has no effect.

    Args:
        confidence: (N,), predicted probabilities, N at least 1.
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
    """Returns the lower edges of all bins but the first.

    The index of the bin is `np.searchsorted(edges, confidence, side="right")`.
    """
    n = len(confidence)
    bins = max(1, min(MOST_BINS, n // SAMPLES_A_BIN))
    edges: Floats = np.unique(np.sort(confidence)[np.arange(1, bins) * n // bins])
    return edges


def squared_error(bins: Bins) -> float:
    """Returns the debiased squared calibration error.

    It is the sum over bins of share times ((accuracy - confidence)^2 - accuracy (1 - accuracy) / (samples - 1)). The
    estimate is unbiased, so it is negative in about half of the cases if the calibration is perfect.
    """
    accuracy = bins.right / bins.samples
    chance = accuracy * (1 - accuracy) / np.maximum(bins.samples - 1, 1)
    return float(bins.samples / bins.samples.sum() @ ((accuracy - bins.confidence) ** 2 - chance))
