from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from graftline.evaluation.result import Gain
from graftline.evaluation.statistics.intervals import bonett_price
from graftline.evaluation.verdict.gain import judge_gain, paired_difference, verdict_of


def sides(
    *, seeds: int, n: int, chosen: float, control: float, seed_sd: float = 0.0, random: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Right answers by a probit model: a sample's difficulty is shared, each seed is a little better or worse."""
    rng = np.random.default_rng(random)
    difficulty = rng.normal(size=n)

    def side(skill: float) -> np.ndarray:
        return rng.random((seeds, n)) < norm.cdf(skill + difficulty + rng.normal(0, seed_sd, (seeds, 1)))

    return side(chosen), side(control)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.011, 0.2, "positive"),
        (0.01, 0.2, "undecided"),
        (-0.2, -0.011, "negative"),
        (-0.2, -0.01, "undecided"),
        (-0.01, 0.01, "none"),
        (-0.011, 0.01, "undecided"),
        (-0.005, 0.011, "undecided"),
        (-0.5, 0.5, "undecided"),
        (float("nan"), float("nan"), "undecided"),
    ],
)
def test_verdict_is_the_definition(low: float, high: float, verdict: str) -> None:
    assert verdict_of(low, high, 0.01) == verdict


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.1))
def test_verdict_only_rises_as_the_interval_moves_up(low: float, width: float, shift: float, delta: float) -> None:
    rank = {"negative": 0, "none": 1, "undecided": 1, "positive": 2}
    before, after = verdict_of(low, low + width, delta), verdict_of(low + shift, low + width + shift, delta)
    assert rank[before] <= rank[after]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_interval_holds_the_estimate_and_has_width(data: st.DataObject) -> None:
    seeds, n = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 120))
    shape = (seeds, n)
    first = data.draw(arrays(np.bool_, shape))
    second = data.draw(st.sampled_from([first, ~first, np.zeros(shape, bool)]) | arrays(np.bool_, shape))
    found = paired_difference(first, second, seed=0)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert found.value == pytest.approx(first.mean() - second.mean())


@pytest.mark.parametrize(
    ("n", "skill", "seed_sd"), [(400, 1.2, 0.0), (400, 1.2, 0.1), (1000, 1.2, 0.3), (100, 2.5, 0.2)]
)
def test_three_seeds_cover_the_truth(n: int, skill: float, seed_sd: float) -> None:
    """95% wanted, at least 92% asked: with spread among seeds or without, and with few discordant pairs."""
    spread = np.sqrt(2 + seed_sd**2)
    truth = norm.cdf(skill / spread) - norm.cdf((skill - 0.3) / spread)
    drawn = (sides(seeds=3, n=n, chosen=skill, control=skill - 0.3, seed_sd=seed_sd, random=i) for i in range(300))
    found = [paired_difference(*pair, seed=i) for i, pair in enumerate(drawn)]
    assert np.mean([f.low <= truth <= f.high for f in found]) >= 0.92


def test_interval_narrows_to_the_normal_one_with_many_seeds_and_samples() -> None:
    """Independent answers of 90% and 80%, one seed, 4,000 samples: 1.96 sqrt((0.09 + 0.16) / 4000)."""
    rng = np.random.default_rng(0)
    found = paired_difference(rng.random((1, 4000)) < 0.9, rng.random((1, 4000)) < 0.8, seed=0)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 4000), rel=0.1)


def test_one_seed_with_few_discordant_pairs_is_bonett_price() -> None:
    first, second = np.ones((1, 161), bool), np.ones((1, 161), bool)
    first[0, :16] = False
    second[0, -6:] = False
    found = paired_difference(first, second, seed=0)
    assert (found.low, found.high) == pytest.approx(bonett_price(6, 16, 161))
    assert "Bonett-Price" in found.method
    assert "these two models" in found.method


def test_several_seeds_with_few_discordant_pairs_are_not_narrower_than_bonett_price() -> None:
    first, second = np.ones((3, 200), bool), np.ones((3, 200), bool)
    second[:, :4] = False
    found = paired_difference(first, second, seed=0)
    adjusted = bonett_price(4, 0, 200)
    assert found.low <= adjusted.low
    assert found.high >= adjusted.high
    assert "Bonett-Price" in found.method


def test_seeds_that_disagree_widen_the_interval() -> None:
    calm = paired_difference(*sides(seeds=3, n=1000, chosen=1.5, control=1.0), seed=0)
    restless = paired_difference(*sides(seeds=3, n=1000, chosen=1.5, control=1.0, seed_sd=0.5), seed=0)
    assert restless.high - restless.low > 2 * (calm.high - calm.low)


def test_samples_are_resampled_by_their_few_different_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over 5 seeds take 11 values at most, so that 10,000 samples are no more work than 11."""
    sizes: list[int] = []
    unique = np.unique

    def counting(*args: Any, **options: Any) -> Any:
        result = unique(*args, **options)
        if options.get("return_counts"):
            sizes.append(len(result[0]))
        return result

    monkeypatch.setattr(np, "unique", counting)
    paired_difference(*sides(seeds=5, n=10_000, chosen=1.2, control=1.0), seed=0)
    assert sizes
    assert max(sizes) <= 11


def test_same_seed_same_interval() -> None:
    pair = sides(seeds=3, n=300, chosen=1.2, control=1.0)
    assert paired_difference(*pair, seed=4) == paired_difference(*pair, seed=4)


def class_gain(chosen: Any, control: Any, *, delta: float, seed: int, converged: bool, labels_per_class: int) -> Gain:
    return judge_gain(
        paired_difference(chosen, control, seed=seed),
        measure="accuracy",
        seeds=len(chosen),
        delta=delta,
        converged=converged,
        min_class_count=(labels_per_class, "labels in the smallest class"),
    )


def gain(
    chosen: float, control: float, *, seeds: int = 3, n: int = 2000, converged: bool = True, labels: int = 100
) -> tuple[str, list[str]]:
    found = class_gain(
        *sides(seeds=seeds, n=n, chosen=chosen, control=control),
        delta=0.01,
        seed=0,
        converged=converged,
        labels_per_class=labels,
    )
    return found.verdict, found.reasons


def test_clear_gains_have_their_verdict() -> None:
    assert gain(2.0, 0.5)[0] == "positive"
    assert gain(0.5, 2.0)[0] == "negative"
    assert gain(1.0, 1.05, n=200)[0] == "undecided"
    same = np.ones((3, 5000), bool)
    assert class_gain(same, same, delta=0.01, seed=0, converged=True, labels_per_class=9).verdict == "none"


def test_a_control_that_did_not_converge_forbids_positive_only() -> None:
    verdict, reasons = gain(2.0, 0.5, converged=False)
    assert verdict == "undecided"
    assert "stopped by its cap" in reasons[1]
    assert gain(0.5, 2.0, converged=False)[0] == "negative"


@pytest.mark.parametrize(("chosen", "control"), [(2.0, 0.5), (0.5, 2.0)])
def test_one_seed_under_50_labels_decides_nothing(chosen: float, control: float) -> None:
    verdict, reasons = gain(chosen, control, seeds=1, labels=49)
    assert verdict == "undecided"
    assert "one seed with 49 labels" in reasons[1]
    assert gain(chosen, control, seeds=1, labels=50)[0] in ("positive", "negative")
    assert gain(chosen, control, seeds=2, labels=5)[0] in ("positive", "negative")


def test_one_seed_says_these_two_models() -> None:
    found = class_gain(
        *sides(seeds=1, n=2000, chosen=2.0, control=0.5), delta=0.01, seed=0, converged=True, labels_per_class=50
    )
    assert found.seeds == 1
    assert found.method.startswith("these two models")
    assert "these two models" in found.reasons[-1]


def test_a_longer_delta_needs_a_larger_gain() -> None:
    pair = sides(seeds=3, n=2000, chosen=2.0, control=0.5)
    verdicts = [
        class_gain(*pair, delta=delta, seed=0, converged=True, labels_per_class=99).verdict
        for delta in (0.0, 0.1, 0.3, 0.49)
    ]
    assert verdicts[0] == "positive"
    assert verdicts[-1] == "none"
    assert verdicts == sorted(verdicts, key=["positive", "undecided", "none"].index)


def test_shapes_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(np.ones((3, 5), bool), np.ones((2, 5), bool), seed=0)
    with pytest.raises(ValueError, match="shapes"):
        paired_difference(np.ones((3, 0), bool), np.ones((3, 0), bool), seed=0)
