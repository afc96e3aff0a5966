"""How far predicted values are from the true ones: RMSE, MAE and the share of the variance that is explained."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from graftline.evaluation.arrays import Floats


def regression_metrics(values: Floats, labels: Floats) -> dict[str, float]:
    """RMSE, mean absolute error and R2, each a mean over the outputs.

    The first two are in the unit that they are given in: one output's own, or, so that several can be averaged,
    values and labels divided by `scale_of`.

    Args:
        values: (N, D) predictions, N at least 1.
        labels: (N, D) truth.
    """
    return {
        "rmse": rmse(values, labels),
        "mae": float(mean_absolute_error(_precise(labels), _precise(values))),
        "r2": float(np.mean(_explained(values, labels))),
    }


def rmse(values: Floats, labels: Floats) -> float:
    """Root mean squared error, mean over the outputs; the main metric.

    Args:
        values: (N, D) predictions.
        labels: (N, D) truth.
    """
    return float(root_mean_squared_error(_precise(labels), _precise(values)))


def per_output(values: Floats, labels: Floats, names: list[str]) -> list[dict[str, float | int | str]]:
    """RMSE, MAE and R2 of each output in its own unit, and the number of examples."""
    errors = np.sqrt(squares(values, labels).mean(0)), np.abs(_precise(values) - _precise(labels)).mean(0)
    return [
        {"class": name, "rmse": float(root), "mae": float(mean), "r2": float(share), "examples": len(labels)}
        for name, root, mean, share in zip(names, *errors, _explained(values, labels), strict=True)
    ]


def squares(values: Floats, labels: Floats) -> Floats:
    """Squared errors (N, D) in float64."""
    result: Floats = (_precise(values) - _precise(labels)) ** 2
    return result


def scale_of(deviations: list[float]) -> NDArray[np.float64]:
    """What values are divided by before they are scored, (D,).

    Args:
        deviations: Of the training labels, one an output. A single output keeps its own unit; several are counted in
            their deviations, so that a mean over them means something.
    """
    return np.ones(1) if len(deviations) == 1 else np.asarray(deviations, np.float64)


def _explained(values: Floats, labels: Floats) -> Floats:
    """R2 of each output; where all labels are equal 1 for a perfect answer, else 0. One sample explains nothing: 0."""
    if len(labels) < 2:
        return np.zeros(labels.shape[1])
    return np.atleast_1d(np.asarray(r2_score(_precise(labels), _precise(values), multioutput="raw_values")))


def _precise(numbers: Floats) -> Floats:
    return np.asarray(numbers, np.float64)
