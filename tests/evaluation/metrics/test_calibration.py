import numpy as np
import pytest

from graftline.evaluation.metrics.calibration import Bins, bins_of, calibration_metrics, squared_error


def sample(n: int, seed: int, overconfidence: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose labels are drawn from their own softmax, then made too sure of themselves."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    return logits * overconfidence, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_known_answer() -> None:
    """10 samples at confidence 0.9, 6 right: (0.3)^2 - 0.24 / 9."""
    logits = np.log(np.tile([0.9, 0.1], (10, 1)))
    labels = np.array([0] * 6 + [1] * 4)
    assert calibration_metrics(logits, labels)["ece"] == pytest.approx(np.sqrt(0.09 - 0.24 / 9))


def test_has_no_bias_where_the_plain_estimator_has_one() -> None:
    """Perfect calibration, 300 samples: the squared error is 0 on average; without the correction it is not."""
    found = [squared_error(bins_of(*sample(300, seed))) for seed in range(200)]
    plain = [
        squared_error(bins) + float(bins.samples / 300 @ (a * (1 - a) / np.maximum(bins.samples - 1, 1)))
        for bins in (bins_of(*sample(300, seed)) for seed in range(200))
        for a in [bins.right / bins.samples]
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error
    assert np.mean(plain) > 20 * error


def test_sees_overconfidence() -> None:
    logits, labels = sample(5000, 0, overconfidence=3.0)
    confidence = np.exp(logits - np.log(np.exp(logits).sum(1, keepdims=True))).max(1)
    gap = confidence.mean() - (logits.argmax(1) == labels).mean()
    assert calibration_metrics(logits, labels)["ece"] >= gap > 0.1


def test_equal_confidences_share_a_bin() -> None:
    assert bins_of(np.zeros((100, 2)), np.zeros(100, np.int64)) == Bins(100, 100, 0.5)


def test_few_samples_make_few_bins() -> None:
    assert len(bins_of(*sample(39, 0)).samples) == 1
    assert len(bins_of(*sample(10_000, 0)).samples) == 15
