import numpy as np
import pytest
from scipy.special import softmax

from graftline.evaluation.metrics.classification import per_class
from graftline.evaluation.result import Estimate
from graftline.evaluation.statistics.estimates import measure_classes
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_model import check_class_metrics, check_same_model

LABELS = np.arange(60) % 3
LOGITS = (np.random.default_rng(0).normal(size=(60, 3)) + 3 * np.eye(3)[LABELS]).astype(np.float32)
TEMPERATURE = 1.7


def compare(logits: np.ndarray, evaluated: np.ndarray = LOGITS) -> tuple[list[Finding], list[int]]:
    shares = softmax(logits.astype(float) / TEMPERATURE, axis=1).astype(np.float32)
    return check_same_model(logits, shares, evaluated, temperature=TEMPERATURE)


def test_the_same_model_passes_with_float_noise() -> None:
    noisy = LOGITS + np.random.default_rng(1).normal(0, 1e-6, LOGITS.shape).astype(np.float32)
    found, flips = compare(noisy)
    assert [f.decision for f in found] == ["promote"]
    assert flips == []


def test_a_tie_may_flip_and_is_listed() -> None:
    evaluated, logits = LOGITS.copy(), LOGITS.copy()
    evaluated[5], logits[5] = [2.0, 2.0 - 1e-5, 0], [2.0 - 1e-5, 2.0, 0]
    found, flips = compare(logits, evaluated)
    assert [f.decision for f in found] == ["promote"]
    assert flips == [5]
    assert "rows 5 " in found[0].reason


def test_another_class_where_it_was_no_tie_is_another_model() -> None:
    logits = LOGITS.copy()
    logits[7] = np.roll(logits[7], 1)
    found, _ = compare(logits)
    assert {f.decision for f in found} == {"reject"}
    assert "rows 7 " in found[1].reason


def test_other_probabilities_are_another_temperature() -> None:
    found, _ = check_same_model(LOGITS, softmax(LOGITS, axis=1), LOGITS, temperature=TEMPERATURE)
    assert [f.decision for f in found] == ["reject"]
    assert "temperature" in found[0].reason


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_rejected(value: float) -> None:
    logits = LOGITS.copy()
    logits[3, 1] = value
    found, _ = check_same_model(logits, softmax(LOGITS, axis=1), LOGITS, temperature=1.0)
    assert [f.decision for f in found] == ["reject"]
    assert "1 of 60 samples" in found[0].reason


def test_fewer_answers_are_rejected() -> None:
    found, _ = check_same_model(LOGITS[:50], softmax(LOGITS[:50], axis=1), LOGITS, temperature=1.0)
    assert [f.decision for f in found] == ["reject"]


def figures_of(logits: np.ndarray) -> tuple[dict[str, Estimate], list[dict[str, float | int | str]]]:
    stated = {name: Estimate(value=value) for name, value in measure_classes(logits, LABELS).items()}
    return stated, per_class(logits.argmax(1), LABELS, ["a", "b", "c"])


def test_figures_are_computed_anew() -> None:
    stated, classes = figures_of(LOGITS)
    assert check_class_metrics(LOGITS, LABELS, stated, classes, flips=0) == []


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "ece"])
def test_a_figure_that_differs_rejects_and_one_that_is_missing_holds(name: str) -> None:
    stated, classes = figures_of(LOGITS)
    better = stated | {name: Estimate(value=stated[name].value + 0.01)}
    assert [f.decision for f in check_class_metrics(LOGITS, LABELS, better, classes, flips=0)] == ["reject"]
    wrong = stated | {name: Estimate(value=float("nan"))}
    assert [f.decision for f in check_class_metrics(LOGITS, LABELS, wrong, classes, flips=0)] == ["reject"]
    less = {key: value for key, value in stated.items() if key != name}
    assert [f.decision for f in check_class_metrics(LOGITS, LABELS, less, classes, flips=0)] == ["hold"]


def test_a_class_recall_that_differs_rejects() -> None:
    stated, classes = figures_of(LOGITS)
    classes[1]["recall"] = 0.123
    found = check_class_metrics(LOGITS, LABELS, stated, classes, flips=0)
    assert [f.decision for f in found] == ["reject"]
    assert "recall of 'b'" in found[0].reason
