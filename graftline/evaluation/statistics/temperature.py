"""Fits temperature scaling (Guo et al. 2017) on the validation split and evaluates it on the test split."""

import numpy as np
from scipy.optimize import minimize_scalar

from graftline.evaluation.arrays import Floats, Labels
from graftline.evaluation.metrics import calibration, classification
from graftline.evaluation.result import Calibration

COLDEST, HOTTEST = 0.05, 20.0
MIN_SAMPLES = 10
"""Minimum number of validation samples for fitting a temperature."""


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """Returns the temperature in 0.05..20 with the highest likelihood, searched on a log scale.

    Args:
        logits: (N, K), finite, of samples that were not used for training.
        labels: (N,), true classes.
    """
    result = minimize_scalar(
        lambda log_t: float(classification.losses(logits / np.exp(log_t), labels).mean()),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(result.x))


def calibrate(val: tuple[Floats, Labels], test: tuple[Floats, Labels]) -> Calibration:
    """Fits the temperature on validation and measures the calibration error on test with and without it.

    Args:
        val: Logits (M, K) and labels (M,). With fewer than 10 samples, the temperature is 1, as stated in
            `fitted_on`.
        test: Logits (N, K) and labels (N,).
    """
    logits, labels = val
    temperature = fit_temperature(logits, labels) if len(labels) >= MIN_SAMPLES else 1.0
    before, after = (calibration.calibration_metrics(test[0] / t, test[1])["ece"] for t in (1.0, temperature))
    return Calibration(
        temperature=temperature, ece_before=before, ece_after=after, fitted_on=describe_fit(len(labels), temperature)
    )


def describe_fit(samples: int, temperature: float) -> str:
    """Describes what a temperature was fitted on, and whether the search reached a bound."""
    if samples < MIN_SAMPLES:
        return f"not fitted: {samples} validation samples, {MIN_SAMPLES} are needed"
    words = f"{samples:,} validation samples, which also chose the candidate"
    if not 1.01 * COLDEST < temperature < 0.99 * HOTTEST:
        words += f"; the search ended at its bound {temperature:.2g}"
    return words
