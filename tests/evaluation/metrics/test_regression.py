import numpy as np
import pytest
from sklearn.metrics import r2_score, root_mean_squared_error

from graftline.evaluation.metrics.regression import per_output, regression_metrics, rmse, scale_of

LABELS = np.array([[0.0], [2.0], [4.0]])
VALUES = np.array([[0.0], [2.0], [7.0]])


def test_known_answers() -> None:
    """One error of 3 in three: sqrt(9 / 3), 3 / 3, 1 - 9 / 8."""
    assert regression_metrics(VALUES, LABELS) == pytest.approx({"rmse": np.sqrt(3), "mae": 1.0, "r2": -0.125})


def test_agrees_with_scikit_learn_output_by_output() -> None:
    rng = np.random.default_rng(0)
    labels, values = rng.normal(size=(50, 3)) * [1, 10, 100], rng.normal(size=(50, 3)) * [1, 10, 100]
    rows = per_output(values, labels, ["a", "b", "c"])
    own = root_mean_squared_error(labels, values, multioutput="raw_values")
    assert [row["rmse"] for row in rows] == pytest.approx(own)
    assert [row["r2"] for row in rows] == pytest.approx(r2_score(labels, values, multioutput="raw_values"))
    assert rmse(values, labels) == pytest.approx(own.mean())
    assert [row["examples"] for row in rows] == [50, 50, 50]


def test_one_output_keeps_its_unit_and_several_are_counted_in_deviations() -> None:
    assert scale_of([7.0]).tolist() == [1]
    assert scale_of([7.0, 2.0]).tolist() == [7, 2]


def test_large_numbers_keep_their_small_errors() -> None:
    labels = np.full((4, 1), 1e6, np.float32)
    assert rmse(labels + np.float32(0.5), labels) == 0.5


@pytest.mark.parametrize(
    ("labels", "values", "expected"),
    [([[3.0], [3.0]], [[3.0], [3.0]], 1.0), ([[3.0], [3.0]], [[3.0], [4.0]], 0.0), ([[3.0]], [[4.0]], 0.0)],
)
def test_what_has_no_variance_is_not_explained(
    labels: list[list[float]], values: list[list[float]], expected: float
) -> None:
    assert regression_metrics(np.array(values), np.array(labels))["r2"] == expected
