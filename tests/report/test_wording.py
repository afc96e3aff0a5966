"""Rounding, intervals and verdicts in words."""

import pytest

from graftline.evaluation.result import Estimate, Gain, Verdict
from graftline.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9312, "93.1%"), (1.0, "100.0%"), (0.99999, ">99.9%"), (0, "0.0%"), (None, "n/a"), (float("nan"), "n/a")],
)
def test_percent(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.09, "+9.0"), (-0.1234, "\N{MINUS SIGN}12.3"), (0.0001, "0.0"), (-0.0001, "0.0"), (float("inf"), "n/a")],
)
def test_points(value: float, text: str) -> None:
    assert wording.points(value) == text


def test_figures() -> None:
    assert wording.figure(Estimate(value=0.931, low=0.912, high=0.946)) == "93.1% (91.2 to 94.6)"
    assert wording.figure(Estimate(value=0.931)) == "93.1%"
    assert wording.figure(Estimate(value=0.62101, low=0.5432, high=0.7), "loss") == "0.621 (0.543 to 0.700)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.4, "12 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_small_words() -> None:
    assert wording.plural(1, "image") == "1 image"
    assert wording.plural(1200, "class", "classes") == "1,200 classes"
    assert wording.listed([1, 2, 7]) == "1, 2 and 7"
    assert wording.listed([3]) == "3"
    assert wording.scientific(1.234e-6) == "1.2e\N{MINUS SIGN}06"
    assert wording.scientific(0) == "0"
    assert wording.scientific(0.00123) == "0.0012"
    assert [wording.short(x) for x in (0.08491, 2.1, 12345.6)] == ["0.085", "2.1", "12,346"]
    assert wording.size(14_200_000) == "14.2 MB"
    assert wording.size(4100) == "4 kB"
    assert wording.sentence("the forest was cut") == "The forest was cut."
    assert wording.visible("a\u202eb\u200b") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


VERDICTS: dict[Verdict, tuple[float, float, str, str]] = {
    "positive": (0.07, 0.11, "Transfer helped.", "the whole interval is above the 1-point margin"),
    "negative": (-0.11, -0.07, "Transfer hurt.", "the whole interval is below the 1-point margin"),
    "none": (-0.005, 0.005, "Transfer made no difference that matters.", "within the 1-point margin"),
    "undecided": (-0.02, 0.05, "Undecided.", "includes a limit of the 1-point margin"),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_verdict(verdict: Verdict) -> None:
    low, high, headline, why = VERDICTS[verdict]
    gain = Gain(value=(low + high) / 2, low=low, high=high, seeds=3, verdict=verdict, method="", reasons=[])
    found = wording.verdict(gain, 0.01)
    assert found[0] == headline
    assert why in found[1]
    assert "Mean of 3 seeds" in found[1]


def test_undecided_for_another_reason_than_its_interval() -> None:
    gain = Gain(value=0.4, low=0.3, high=0.5, seeds=1, verdict="undecided", method="", reasons=["not converged"])
    sentence = wording.verdict(gain, 0.01)[1]
    assert sentence.startswith("One seed, so this compares two models only")
    assert "see the reasons below" in sentence


def test_best_names_what_beats_the_transfer() -> None:
    chosen, control, baselines = Estimate(value=0.8), Estimate(value=0.7), {"forest": Estimate(value=0.85)}
    assert wording.best_of("forest", chosen, control, baselines) == (
        "not the transfer. The random forest has 85.0% of the test images correct, the transfer 80.0%."
    )
    assert wording.best_of("chosen", chosen, control, {}).startswith("the transfer, with 80.0%")
