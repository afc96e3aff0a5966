"""Computes metrics of regression models: RMSE, MAE and R2."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from graftline.evaluation.arrays import Floats


def regression_metrics(values: Floats, labels: Floats) -> dict[str, float]:
    """Returns RMSE, mean absolute error and R2, each averaged over the outputs.

    RMSE and mean absolute error are in the unit of the arguments. To average several outputs, divide values and labels
    by `scale_of` first.

    Args:
        values: (N, D), predictions, N at least 1.
        labels: (N, D), true values.
    """
    return {
        "rmse": rmse(values, labels),
        "mae": float(mean_absolute_error(_precise(labels), _precise(values))),
        "r2": float(np.mean(_explained(values, labels))),
    }


def rmse(values: Floats, labels: Floats) -> float:
    """Returns the root mean squared error averaged over the outputs, the main metric.

    Args:
        values: (N, D), predictions.
        labels: (N, D), true values.
    """
    return float(root_mean_squared_error(_precise(labels), _precise(values)))


def per_output(values: Floats, labels: Floats, names: list[str]) -> list[dict[str, float | int | str]]:
    """Returns RMSE, MAE and R2 of each output in the unit of the output, and the number of examples."""
    errors = np.sqrt(squares(values, labels).mean(0)), np.abs(_precise(values) - _precise(labels)).mean(0)
    return [
        {"class": name, "rmse": float(root), "mae": float(mean), "r2": float(share), "examples": len(labels)}
        for name, root, mean, share in zip(names, *errors, _explained(values, labels), strict=True)
    ]


def squares(values: Floats, labels: Floats) -> Floats:
    """Returns the squared errors (N, D) in float64."""
    result: Floats = (_precise(values) - _precise(labels)) ** 2
    return result


def scale_of(deviations: list[float]) -> NDArray[np.float64]:
    """Returns the scale (D,) by which values are divided before scoring.

    Args:
        deviations: Standard deviation of the training labels of each output. A single output keeps its unit; several
            outputs are divided by their standard deviations, so that their errors can be averaged.
    """
    return np.ones(1) if len(deviations) == 1 else np.asarray(deviations, np.float64)


def _explained(values: Floats, labels: Floats) -> Floats:
    """Returns R2 of each output; if all labels are equal, 1 for a perfect prediction, else 0. With one sample, 0."""
    if len(labels) < 2:
        return np.zeros(labels.shape[1])
    return np.atleast_1d(np.asarray(r2_score(_precise(labels), _precise(values), multioutput="raw_values")))


def _precise(numbers: Floats) -> Floats:
    return np.asarray(numbers, np.float64)
