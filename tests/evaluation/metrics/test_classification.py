import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

from graftline.evaluation.metrics.classification import (
    balanced_accuracy,
    classification_metrics,
    confusion,
    losses,
    per_class,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 0])
LOGITS = np.eye(3, dtype=np.float32)[PREDICTED] * 2


def test_known_answers() -> None:
    found = classification_metrics(LOGITS, LABELS)
    assert found["accuracy"] == pytest.approx(4 / 7)
    assert found["balanced_accuracy"] == found["macro_recall"] == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert found["macro_precision"] == pytest.approx((3 / 5 + 1 / 2 + 0) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_confusion_has_true_classes_in_rows() -> None:
    assert confusion(PREDICTED, LABELS, 4).tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_per_class_names_every_class_and_counts_its_examples() -> None:
    found = per_class(PREDICTED, LABELS, ["a", "b", "c", "d"])
    assert found[0] == {
        "class": "a",
        "precision": pytest.approx(0.6),
        "recall": 0.75,
        "f1": pytest.approx(2 / 3),
        "examples": 4,
    }
    assert [line["examples"] for line in found] == [4, 2, 1, 0]
    assert found[3]["f1"] == 0


def test_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 5, 300), rng.normal(0, 3, (300, 5)).astype(np.float32)
    found = classification_metrics(logits, labels)
    assert found["loss"] == pytest.approx(log_loss(labels, softmax(logits.astype(float), axis=1)), rel=1e-9)
    assert found["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, logits.argmax(1)))


def test_loss_survives_certainty() -> None:
    assert losses(np.array([[1000.0, 0.0], [0.0, 1000.0]]), np.array([0, 0])).tolist() == [0.0, 1000.0]


def test_a_class_without_samples_is_not_in_the_mean_even_when_predicted() -> None:
    assert balanced_accuracy(np.array([0, 0, 2]), np.array([0, 0, 1])) == 0.5
