import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax

from graftline.evaluation.metrics.calibration import bins_of
from graftline.evaluation.statistics.estimates import ece_interval, estimate_metrics, macro_scores, measure_classes
from graftline.evaluation.statistics.intervals import wilson


def logits_of(predicted: np.ndarray, classes: int) -> np.ndarray:
    return (3 * np.eye(classes)[predicted]).astype(np.float32)


def test_macro_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    right, said, actual = (np.bincount(x, minlength=5)[None] for x in (labels[labels == predicted], predicted, labels))
    expected = measure_classes(logits_of(predicted, 5), labels)
    for name, value in macro_scores(right, said, actual).items():
        assert value[0] == pytest.approx(expected[name])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_intervals_hold_the_estimate_and_have_width(data: st.DataObject) -> None:
    n, k = data.draw(st.integers(1, 40)), data.draw(st.integers(2, 4))
    labels = data.draw(arrays(np.int64, n, elements=st.integers(0, k - 1)))
    predicted = data.draw(st.just(labels) | arrays(np.int64, n, elements=st.integers(0, k - 1)))
    for name, figure in estimate_metrics(logits_of(predicted, k), labels, seed=0).items():
        if figure.low is None or figure.high is None:
            assert name == "loss" or len(np.unique(labels)) == 1
            continue
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


def test_accuracy_has_wilsons_interval() -> None:
    labels = np.arange(50) % 2
    predicted = labels.copy()
    predicted[:7] = 1 - predicted[:7]
    found = estimate_metrics(logits_of(predicted, 2), labels, seed=0)["accuracy"]
    assert (found.value, found.low, found.high) == pytest.approx((43 / 50, *wilson(43, 50)))


def test_intervals_cover_the_truth() -> None:
    """Balanced accuracy 0.8 and a known loss, 120 test splits of 300 samples."""
    hits = {"balanced_accuracy": 0, "macro_f1": 0, "loss": 0}
    for seed in range(120):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 3, 300)
        predicted = np.where(rng.random(300) < 0.7, labels, rng.integers(0, 3, 300))
        found = estimate_metrics(logits_of(predicted, 3), labels, seed=seed)
        cost = np.log(np.exp(3) + 2)
        truth = {"balanced_accuracy": 0.8, "macro_f1": 0.8, "loss": cost - 3 * 0.8}
        for name, value in truth.items():
            hits[name] += found[name].low <= value <= found[name].high
    assert min(hits.values()) >= 0.9 * 120


def test_interval_of_the_calibration_error_covers_the_truth() -> None:
    """Answers right 70 times in 100, said with 80%: an error of 0.1; and a perfectly calibrated model: 0."""
    for said, truth in ((0.8, 0.1), (0.7, 0.0)):
        hits = 0
        for seed in range(200):
            rng = np.random.default_rng(seed)
            labels = (rng.random(400) >= 0.7).astype(np.int64)
            noise = rng.normal(0, 1e-3, 400)
            logits = np.stack([np.log(said / (1 - said)) + noise, np.zeros(400)], 1)
            low, high = ece_interval(bins_of(logits, labels), rng)
            hits += low <= truth + 1e-3 and truth <= high
        assert hits >= 0.9 * 200


def test_a_loss_that_never_varies_has_no_interval() -> None:
    found = estimate_metrics(np.zeros((40, 2), np.float32), np.arange(40) % 2, seed=0)["loss"]
    assert found.value == pytest.approx(np.log(2))
    assert found.low is found.high is None


def test_ece_is_of_the_logits_as_given() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (3000, 3))
    labels = (softmax(logits, axis=1).cumsum(1) > rng.random((3000, 1))).argmax(1)
    assert estimate_metrics(logits, labels, seed=0)["ece"].value < 0.03
    assert estimate_metrics(logits * 4, labels, seed=0)["ece"].low > 0.1
