import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from graftline.evaluation.metrics.curves import Curve, macro, one_vs_rest


def scores(k: int = 3, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, k, n)
    return softmax(rng.normal(size=(n, k)) + 1.5 * np.eye(k)[labels], axis=1), labels


def check_shape(curve: Curve) -> None:
    assert len(curve.fpr) == len(curve.tpr) == len(curve.thresholds)
    assert np.isfinite([curve.fpr, curve.tpr, curve.thresholds]).all()
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.fpr) >= 0).all()
    assert (np.diff(curve.tpr) >= 0).all()
    assert (np.diff(curve.thresholds) <= 0).all()


def area(curve: Curve) -> float:
    return float(np.trapezoid(curve.tpr, curve.fpr))


def test_each_class_has_scikit_learns_area() -> None:
    probabilities, labels = scores()
    curves = one_vs_rest(probabilities, labels)
    for c, curve in curves.items():
        check_shape(curve)
        assert area(curve) == pytest.approx(roc_auc_score(labels == c, probabilities[:, c]), abs=1e-9)


def test_macro_is_the_mean_of_rates_at_equal_thresholds() -> None:
    probabilities, labels = scores()
    curve = macro(probabilities, labels)
    check_shape(curve)
    at = 40
    said = probabilities >= curve.thresholds[at]
    assert curve.tpr[at] == pytest.approx(np.mean([said[labels == c, c].mean() for c in range(3)]))
    assert curve.fpr[at] == pytest.approx(np.mean([said[labels != c, c].mean() for c in range(3)]))
    assert area(curve) == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"), abs=0.03)


def test_a_perfect_model_has_area_one() -> None:
    labels = np.arange(30) % 3
    curve = macro(np.eye(3)[labels], labels)
    check_shape(curve)
    assert area(curve) == 1


def test_a_class_that_all_or_none_belong_to_has_no_curve() -> None:
    assert one_vs_rest(np.full((5, 3), 1 / 3), np.zeros(5, np.int64)) == {}
    with pytest.raises(ValueError, match="one class"):
        macro(np.full((5, 3), 1 / 3), np.zeros(5, np.int64))
