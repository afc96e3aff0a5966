"""Temperature scaling (Guo et al. 2017), fitted on validation and judged on test."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from graftline.evaluation.metrics import calibration, classification
from graftline.evaluation.result import Calibration

COLDEST, HOTTEST = 0.05, 20.0
FEWEST = 10
"""Validation samples; with fewer, no temperature is fitted."""

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The temperature in 0.05..20 that makes the labels most likely, searched over its logarithm.

    Args:
        logits: (N, K), finite, of samples that no weight was trained on.
        labels: (N,), true classes.
    """
    found = minimize_scalar(
        lambda log_t: float(classification.losses(logits / np.exp(log_t), labels).mean()),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))


def calibrate(val: tuple[Floats, Labels], test: tuple[Floats, Labels]) -> Calibration:
    """Fits the temperature on validation and measures both errors on test.

    Args:
        val: Logits (M, K) and labels (M,); under 10 samples the temperature stays 1, and `fitted_on` says so.
        test: Logits (N, K) and labels (N,).
    """
    logits, labels = val
    temperature = fit_temperature(logits, labels) if len(labels) >= FEWEST else 1.0
    before, after = (calibration.figures(test[0] / t, test[1])["ece"] for t in (1.0, temperature))
    return Calibration(
        temperature=temperature, ece_before=before, ece_after=after, fitted_on=words_of(len(labels), temperature)
    )


def words_of(samples: int, temperature: float) -> str:
    """What a temperature was fitted on, and whether the search met a bound, in words."""
    if samples < FEWEST:
        return f"not fitted: {samples} validation samples, {FEWEST} are needed"
    words = f"{samples:,} validation samples, which also chose the candidate"
    if not 1.01 * COLDEST < temperature < 0.99 * HOTTEST:
        words += f"; the search ended at its bound {temperature:.2g}"
    return words
