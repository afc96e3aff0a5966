import numpy as np
import pytest

from graftline.config import Gate
from graftline.evaluation.result import Figure, Gain
from graftline.evaluation.verdict.gate import (
    Finding,
    baseline_findings,
    class_findings,
    conclude,
    floor_findings,
    gain_findings,
)


def judgements(findings: list[Finding]) -> list[str]:
    return [finding.judgement for finding in findings]


def test_the_worst_finding_decides_and_stands_first() -> None:
    verdict, reasons = conclude([Finding("promote", "fine"), Finding("hold", "unsure"), Finding("reject", "bad")])
    assert verdict == "reject"
    assert reasons == ["bad", "unsure", "fine"]
    assert conclude([Finding("promote", "fine")])[0] == "promote"
    assert conclude([])[0] == "hold"


@pytest.mark.parametrize(
    ("low", "value", "high", "judgement"),
    [
        (0.80, 0.85, 0.899, "reject"),
        (0.80, 0.85, 0.90, "hold"),
        (0.85, 0.90, 0.95, "promote"),
        (0.7, 0.899, 0.95, "hold"),
    ],
)
def test_floors(low: float, value: float, high: float, judgement: str) -> None:
    figures = {"accuracy": Figure(value=value, low=low, high=high), "macro_f1": Figure(value=value, low=low, high=high)}
    assert judgements(floor_findings(Gate(min_accuracy=0.9), figures)) == [judgement]
    assert judgements(floor_findings(Gate(min_macro_f1=0.9), figures)) == [judgement]
    assert floor_findings(Gate(), figures) == []


@pytest.mark.parametrize(
    "figures",
    [
        {},
        {"accuracy": Figure(value=0.99)},
        {"accuracy": Figure(value=float("nan"), low=0.9, high=1.0)},
        {"accuracy": Figure(value=0.99, low=0.9, high=float("nan"))},
    ],
)
def test_what_is_missing_or_not_a_number_never_promotes(figures: dict[str, Figure]) -> None:
    assert judgements(floor_findings(Gate(min_accuracy=0.5), figures)) == ["hold"]
    assert judgements(floor_findings(Gate(max_ece=0.5), {"ece": Figure(value=float("nan"))})) == ["hold"]


def test_calibration_holds_but_never_rejects() -> None:
    figures = {"ece": Figure(value=0.4, low=0.35, high=0.45)}
    assert judgements(floor_findings(Gate(max_ece=0.05), figures)) == ["hold"]
    assert judgements(floor_findings(Gate(max_ece=0.4), figures)) == ["promote"]


def confusion(*rows: tuple[int, int]) -> np.ndarray:
    """(right, samples) of each class; errors go to the next class."""
    counts = np.diag([right for right, _ in rows])
    for k, (right, total) in enumerate(rows):
        counts[k, (k + 1) % len(rows)] += total - right
    return counts


def test_class_recall_floor() -> None:
    found = class_findings(0.8, confusion((95, 100), (50, 100), (78, 100), (1, 29)), ["a", "b", "c", "d"])
    assert judgements(found) == ["promote", "reject", "hold"]
    assert found[0].reason == "Not judged by class recall, under 30 samples: d (29)."
    assert "'b' is 0.500" in found[1].reason
    assert class_findings(None, confusion((0, 100), (0, 100)), ["a", "b"]) == []
    assert judgements(class_findings(0.8, confusion((90, 100), (85, 100)), ["a", "b"])) == ["promote"]


def test_many_classes_share_the_level() -> None:
    """71 of 100 against a floor of 0.8, p = 0.02: clear where it is the only judged class, not as one of 20."""
    alone = class_findings(0.8, confusion((71, 100), (29, 29)), ["a", "small"])
    among = class_findings(0.8, confusion((71, 100), *[(99, 100)] * 19), [str(i) for i in range(20)])
    assert judgements(alone) == ["promote", "reject"]
    assert judgements(among) == ["hold"]


def test_clearly_worse_than_a_baseline_holds() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.random(400) < 0.9, rng.random(400) < 0.6
    found = baseline_findings(bad, {"majority": ~bad, "forest": good}, 0.01)
    assert judgements(found) == ["promote", "hold"]
    assert "clearly worse than the forest baseline" in found[1].reason
    assert judgements(baseline_findings(good, {"forest": bad}, 0.01)) == ["promote"]
    assert judgements(baseline_findings(good, {"forest": good}, 0.01)) == ["promote"]


def test_a_file_no_better_than_the_majority_class_holds() -> None:
    good, bad = np.arange(400) % 10 > 0, np.arange(400) % 10 > 4
    assert judgements(baseline_findings(good, {"majority": good}, 0.01)) == ["hold"]
    assert judgements(baseline_findings(good, {"majority": bad}, 0.01)) == ["promote"]
    assert judgements(baseline_findings(good, {}, 0.01)) == ["hold"]


@pytest.mark.parametrize(
    ("verdict", "judgement"), [("positive", "promote"), ("none", "hold"), ("negative", "hold"), ("undecided", "hold")]
)
def test_a_positive_gain_can_be_asked_for(verdict: str, judgement: str) -> None:
    gain = Gain(value=0.1, low=0.0, high=0.2, seeds=3, verdict=verdict, method="", reasons=[])
    assert judgements(gain_findings(True, gain)) == [judgement]
    assert gain_findings(False, gain) == []
