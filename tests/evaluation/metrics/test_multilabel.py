import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score, log_loss

from graftline.evaluation.metrics.multilabel import (
    average_precisions,
    calibration_error,
    macro_ap,
    multilabel_metrics,
    per_label,
    rates,
)

LABELS = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
LOGITS = np.array([[3.0, -1.0], [2.0, 1.0], [1.0, 2.0], [-1.0, -3.0]])


def test_known_answers() -> None:
    """First label: found at ranks 1 and 3, (1/1 + 2/3) / 2; second: at rank 2, 1/2."""
    assert average_precisions(LOGITS, LABELS) == pytest.approx([5 / 6, 1 / 2])
    found = multilabel_metrics(LOGITS, LABELS)
    assert found["macro_ap"] == pytest.approx(2 / 3)
    assert found["exact"] == pytest.approx(0.5)
    assert found["macro_f1"] == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2)


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.random((200, 4)) < 0.3, rng.normal(size=(200, 4))
    found = multilabel_metrics(logits, labels)
    assert found["macro_ap"] == pytest.approx(average_precision_score(labels, logits, average="macro"))
    assert found["micro_ap"] == pytest.approx(average_precision_score(labels, logits, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, logits > 0, average="macro"))
    assert found["loss"] == pytest.approx(np.mean([log_loss(labels[:, k], expit(logits[:, k])) for k in range(4)]))


def test_one_label_is_scored_by_itself() -> None:
    """Of one column scikit-learn would take the absence for a class too."""
    assert multilabel_metrics(LOGITS[:, :1], LABELS[:, :1])["macro_f1"] == pytest.approx(2 * 2 / 5)


def test_a_label_that_no_sample_has_is_not_in_the_means() -> None:
    wide = np.concatenate([LABELS, np.zeros((4, 1))], axis=1)
    found = multilabel_metrics(np.concatenate([LOGITS, np.ones((4, 1))], axis=1), wide)
    assert found["macro_ap"] == pytest.approx(macro_ap(LOGITS, LABELS))
    rows = per_label(np.concatenate([LOGITS, np.ones((4, 1))], axis=1), wide, ["a", "b", "c"])
    assert rows[2] == {"class": "c", "ap": 0, "precision": 0, "recall": 0, "f1": 0, "examples": 0}
    assert multilabel_metrics(LOGITS, LABELS * 0)["macro_ap"] == 0


def test_rates_by_hand() -> None:
    precision, recall, f1 = rates(LOGITS, LABELS)
    assert precision == pytest.approx([2 / 3, 1 / 2])
    assert recall == pytest.approx([1, 1])
    assert f1 == pytest.approx([4 / 5, 2 / 3])


def test_calibration_error_of_true_probabilities_is_small_and_of_sure_ones_large() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3000, 3))
    labels = rng.random((3000, 3)) < expit(logits)
    assert calibration_error(logits, labels) < 0.02
    assert calibration_error(4 * logits, labels) > 0.1
