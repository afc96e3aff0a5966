import numpy as np
import pytest

from graftline.config import Gate
from graftline.evaluation.result import UNITS, Estimate, Gain
from graftline.evaluation.tasks import TASKS
from graftline.evaluation.verdict.gain import paired_difference
from graftline.evaluation.verdict.gate import (
    Finding,
    baseline_findings,
    conclude,
    floor_findings,
    gain_findings,
    recall_findings,
)


def recalls_of(floor: float | None, matrix: np.ndarray, classes: list[str]) -> list[Finding]:
    return recall_findings(floor, np.diag(matrix), matrix.sum(1), classes)


def baselines_of(hits: np.ndarray, baselines: dict[str, np.ndarray], delta: float) -> list[Finding]:
    differences = {name: paired_difference(hits[None], each[None], seed=0) for name, each in baselines.items()}
    return baseline_findings(differences, TASKS["classification"].trivial_baseline, UNITS["accuracy"], delta)


def decisions(findings: list[Finding]) -> list[str]:
    return [finding.decision for finding in findings]


def test_the_worst_finding_decides_and_stands_first() -> None:
    verdict, reasons = conclude([Finding("promote", "fine"), Finding("hold", "unsure"), Finding("reject", "bad")])
    assert verdict == "reject"
    assert reasons == ["bad", "unsure", "fine"]
    assert conclude([Finding("promote", "fine")])[0] == "promote"
    assert conclude([])[0] == "hold"


@pytest.mark.parametrize(
    ("low", "value", "high", "decision"),
    [
        (0.80, 0.85, 0.899, "reject"),
        (0.80, 0.85, 0.90, "hold"),
        (0.85, 0.90, 0.95, "promote"),
        (0.7, 0.899, 0.95, "hold"),
    ],
)
def test_floors(low: float, value: float, high: float, decision: str) -> None:
    figures = {
        "accuracy": Estimate(value=value, low=low, high=high),
        "macro_f1": Estimate(value=value, low=low, high=high),
    }
    assert decisions(floor_findings(Gate(min_accuracy=0.9), figures)) == [decision]
    assert decisions(floor_findings(Gate(min_macro_f1=0.9), figures)) == [decision]
    assert floor_findings(Gate(), figures) == []


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"accuracy": Estimate(value=0.99)},
        {"accuracy": Estimate(value=float("nan"), low=0.9, high=1.0)},
        {"accuracy": Estimate(value=0.99, low=0.9, high=float("nan"))},
    ],
)
def test_what_is_missing_or_not_a_number_never_promotes(figures: dict[str, Estimate]) -> None:
    assert decisions(floor_findings(Gate(min_accuracy=0.5), figures)) == ["hold"]
    assert decisions(floor_findings(Gate(max_ece=0.5), {"ece": Estimate(value=float("nan"))})) == ["hold"]


def test_calibration_holds_but_never_rejects() -> None:
    figures = {"ece": Estimate(value=0.4, low=0.35, high=0.45)}
    assert decisions(floor_findings(Gate(max_ece=0.05), figures)) == ["hold"]
    assert decisions(floor_findings(Gate(max_ece=0.4), figures)) == ["promote"]


def confusion(*rows: tuple[int, int]) -> np.ndarray:
    """(right, samples) of each class; errors go to the next class."""
    counts = np.diag([right for right, _ in rows])
    for k, (right, total) in enumerate(rows):
        counts[k, (k + 1) % len(rows)] += total - right
    return counts


def test_class_recall_floor() -> None:
    found = recalls_of(0.8, confusion((95, 100), (50, 100), (78, 100), (1, 29)), ["a", "b", "c", "d"])
    assert decisions(found) == ["promote", "reject", "hold"]
    assert found[0].reason == "Not judged by class recall, under 30 samples: d (29)."
    assert "'b' is 0.500" in found[1].reason
    assert recalls_of(None, confusion((0, 100), (0, 100)), ["a", "b"]) == []
    assert decisions(recalls_of(0.8, confusion((90, 100), (85, 100)), ["a", "b"])) == ["promote"]


def test_many_classes_share_the_level() -> None:
    """71 of 100 against a floor of 0.8, p = 0.02: clear where it is the only judged class, not as one of 20."""
    alone = recalls_of(0.8, confusion((71, 100), (29, 29)), ["a", "small"])
    among = recalls_of(0.8, confusion((71, 100), *[(99, 100)] * 19), [str(i) for i in range(20)])
    assert decisions(alone) == ["promote", "reject"]
    assert decisions(among) == ["hold"]


def test_clearly_worse_than_a_baseline_holds() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.random(400) < 0.9, rng.random(400) < 0.6
    found = baselines_of(bad, {"majority": ~bad, "forest": good}, 0.01)
    assert decisions(found) == ["promote", "hold"]
    assert "clearly worse than the forest baseline" in found[1].reason
    assert decisions(baselines_of(good, {"forest": bad}, 0.01)) == ["promote"]
    assert decisions(baselines_of(good, {"forest": good}, 0.01)) == ["promote"]


def test_a_file_no_better_than_the_majority_class_holds() -> None:
    good, bad = np.arange(400) % 10 > 0, np.arange(400) % 10 > 4
    assert decisions(baselines_of(good, {"majority": good}, 0.01)) == ["hold"]
    assert decisions(baselines_of(good, {"majority": bad}, 0.01)) == ["promote"]
    assert decisions(baselines_of(good, {}, 0.01)) == ["hold"]


@pytest.mark.parametrize(
    ("verdict", "decision"), [("positive", "promote"), ("none", "hold"), ("negative", "hold"), ("undecided", "hold")]
)
def test_a_positive_gain_can_be_asked_for(verdict: str, decision: str) -> None:
    gain = Gain(value=0.1, low=0.0, high=0.2, seeds=3, verdict=verdict, method="", reasons=[])
    assert decisions(gain_findings(True, gain)) == [decision]
    assert gain_findings(False, gain) == []
