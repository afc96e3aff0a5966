import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.evaluation.metrics.classification import losses
from graftline.evaluation.statistics.temperature import calibrate, fit_temperature


def sample(n: int, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn from their own softmax: the right temperature is 1."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 8))
def test_finds_the_factor_that_logits_were_scaled_by(factor: float) -> None:
    logits, labels = sample(20_000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_is_more_likely() -> None:
    logits, labels = sample(200, seed=5)
    best = fit_temperature(logits, labels)
    at = [losses(logits / t, labels).mean() for t in np.geomspace(0.05, 20, 400)]
    assert losses(logits / best, labels).mean() <= min(at) + 1e-9


@pytest.mark.parametrize(("labels", "bound"), [(np.zeros(50, np.int64), 0.05), (np.ones(50, np.int64), 20.0)])
def test_stays_in_its_bounds(labels: np.ndarray, bound: float) -> None:
    logits = np.tile([1.0, 0.0], (50, 1))
    assert fit_temperature(logits, labels) == pytest.approx(bound, rel=1e-3)
    assert "ended at its bound" in calibrate((logits, labels), (logits, labels)).fitted_on


def test_calibration_mends_an_overconfident_model() -> None:
    val, test = sample(2000, seed=1), sample(3000, seed=2)
    found = calibrate((val[0] * 3, val[1]), (test[0] * 3, test[1]))
    assert found.temperature == pytest.approx(3, rel=0.1)
    assert found.ece_before > 0.1
    assert found.ece_after < 0.03
    assert found.fitted_on.startswith("2,000 validation samples")


def test_under_ten_samples_nothing_is_fitted() -> None:
    logits, labels = sample(9)
    found = calibrate((logits * 3, labels), sample(500))
    assert found.temperature == 1
    assert found.ece_before == found.ece_after
    assert found.fitted_on == "not fitted: 9 validation samples, 10 are needed"
