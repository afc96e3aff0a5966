"""Computes the transfer gain, the paired difference between the chosen model and the control, and its verdict."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from graftline.evaluation.arrays import Floats
from graftline.evaluation.result import UNITS, Gain, Unit, Verdict
from graftline.evaluation.statistics.intervals import Interval, Z, bonett_price

RESAMPLES = 2000
FEW_DISCORDANT = 50
"""Number of discordant pairs below which the bootstrap interval is widened to the interval of Bonett and Price."""
FEW_LABELS = 50
"""Number of training examples of the rarest class below which one seed allows no verdict."""

Correct = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Difference between two models with its 95% interval; positive if the first model is better."""

    value: float
    low: float
    high: float
    method: str


def paired_difference(first: Correct, second: Correct, *, seed: int) -> Difference:
    """Returns the difference in accuracy of two models on the same samples, with its interval over seeds and samples.

    The two-level bootstrap resamples the seeds of each model and the samples separately and adds their deviations. If
    they were drawn jointly, the noise of a seed on a sample would be counted three times (Owen 2007, 'The pigeonhole
    bootstrap'). A bootstrap over S seeds has only (S - 1) / S of their variance, so their deviations are scaled up. A
    few seeds are not enough to estimate their variance well, so the interval is widened from the normal distribution to
    Student's t with Welch and Satterthwaite's degrees of freedom. Without that, the coverage with three seeds may be as
    low as 81%.

    With fewer than 50 discordant pairs (mean over seeds), the interval is extended to include the interval of Bonett
    and Price 2012 on the mean counts; with one seed, it is equal to that interval. It is also extended if all resamples
    agree.

    Args:
        first: (S, N), whether each seed of the first model classifies each sample correctly.
        second: (S, N), the same for the second model; its seeds are independent of those of the first model.
        seed: Seed of the resampling.

    Raises:
        ValueError: The shapes differ, or there are no seeds or no samples.
    """
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"paired_difference: shapes {first.shape} and {second.shape}; give one (seeds, samples)")
    seeds, n = first.shape
    value = float(first.mean() - second.mean())
    low, high = _bootstrap(first, second, np.random.default_rng(seed))
    only_first, only_second = float((first & ~second).sum() / seeds), float((~first & second).sum() / seeds)
    few = only_first + only_second < FEW_DISCORDANT
    adjusted = bonett_price(only_first, only_second, n)
    if few and seeds == 1:
        low, high = adjusted
    elif few or low == high:
        low, high = min(low, adjusted.low), max(high, adjusted.high)
    return Difference(value, min(low, value), max(high, value), _method(seeds, n, only_first + only_second, few))


def verdict_of(low: float, high: float, delta: float) -> Verdict:
    """Returns the verdict on a gain, given its 95% interval.

    Args:
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        delta: Smallest gain that counts, in accuracy (0..1).
    """
    if low > delta:
        return "positive"
    if high < -delta:
        return "negative"
    return "none" if -delta <= low and high <= delta else "undecided"


def judge_gain(
    difference: Difference, *, measure: str, seeds: int, delta: float, converged: bool, min_class_count: tuple[int, str]
) -> Gain:
    """Returns the transfer gain with its verdict and the reasons.

    Args:
        difference: Difference between the chosen model and the control; positive if the chosen model is better.
        measure: Name of the compared metric.
        seeds: Number of seeds of each of the two models.
        delta: Smallest gain that counts.
        converged: Whether every control converged. If not, more training may improve the control, so the verdict is
            never `positive`.
        min_class_count: Number of training examples of the rarest class, and a description of them. With one seed and
            fewer than 50, the verdict is neither `positive` nor `negative`.
    """
    verdict = verdict_of(difference.low, difference.high, delta)
    reasons = [_reason(verdict, difference, delta, UNITS[measure])]
    if verdict == "positive" and not converged:
        verdict = "undecided"
        reasons.append(
            "Not positive, because the control was stopped by its cap before it had stopped improving: "
            "more training might have closed the gap."
        )
    if verdict in ("positive", "negative") and seeds == 1 and min_class_count[0] < FEW_LABELS:
        reasons.append(
            f"Not {verdict}, because one seed with {min_class_count[0]} {min_class_count[1]} (under "
            f"{FEW_LABELS}) says nothing beyond these two models; confirm with 3 seeds."
        )
        verdict = "undecided"
    elif seeds == 1:
        reasons.append("One seed: this compares these two models, not the two ways to train them.")
    return Gain(
        measure=measure,
        value=difference.value,
        low=difference.low,
        high=difference.high,
        seeds=seeds,
        verdict=verdict,
        method=difference.method,
        reasons=reasons,
    )


def two_level_interval(
    value: float, moves: Floats, variance: float, n: int, scores: tuple[Floats, Floats], random: np.random.Generator
) -> Interval:
    """Returns the 95% interval of a difference over samples and seeds.

    Args:
        value: Difference between the two models.
        moves: (R,), deviation of the difference in each resample of the samples; deviations of the seeds are added in
            place.
        variance: Variance of the deviations over samples.
        n: Number of samples.
        scores: Scores (S,) of each model by seed; a single seed is not resampled.
        random: Generator that resamples the seeds.
    """
    total, scaled = variance, variance**2 / max(n - 1, 1)
    seeds = len(scores[0])
    if seeds > 1:
        for sign, rates in zip((1, -1), scores, strict=True):
            weights = random.multinomial(seeds, [1 / seeds] * seeds, size=len(moves)) / seeds - 1 / seeds
            moves += sign * np.sqrt(seeds / (seeds - 1)) * (weights @ rates)
            part = float(rates.var(ddof=1)) / seeds
            total, scaled = total + part, scaled + part**2 / (seeds - 1)
    if total == 0:
        return Interval(value, value)
    stretch = float(student.ppf(0.975, total**2 / scaled)) / Z
    low, high = np.quantile(moves, [0.025, 0.975]) * stretch + value
    return Interval(float(low), float(high))


def describe_method(seeds: int, resamples: int) -> str:
    """Returns a description of how an interval over seeds and samples was computed."""
    if seeds == 1:
        return f"these two models: bootstrap over samples, {resamples:,} resamples"
    return f"two-level bootstrap over {seeds} seeds a side and samples, {resamples:,} resamples, Student's t"


def _bootstrap(first: Correct, second: Correct, random: np.random.Generator) -> Interval:
    """Returns the two-level bootstrap interval.

    Samples differ only in their sum over seeds, so the counts of the distinct sums are resampled.
    """
    seeds, n = first.shape
    sums = first.sum(0, dtype=np.int64) - second.sum(0, dtype=np.int64)
    values, counts = np.unique(sums, return_counts=True)
    values = values / seeds
    mean = float(counts @ values) / n
    moves = random.multinomial(n, counts / n, size=RESAMPLES) @ values / n - mean
    variance = float(counts @ (values - mean) ** 2) / max(n - 1, 1) / n
    low, high = two_level_interval(mean, moves, variance, n, (first.mean(1), second.mean(1)), random)
    return Interval(max(-1.0, low), min(1.0, high))


def _method(seeds: int, n: int, discordant: float, few: bool) -> str:
    pairs = f"{discordant:.0f} of {n:,} test samples told apart{' on average' if seeds > 1 else ''}"
    if seeds == 1 and few:
        return f"these two models: Bonett-Price interval of the paired difference, {pairs}"
    text = f"{describe_method(seeds, RESAMPLES)}, {pairs}"
    return f"{text}; as these are under {FEW_DISCORDANT}, not narrower than Bonett-Price" if few else text


def _reason(verdict: Verdict, difference: Difference, delta: float, unit: Unit) -> str:
    low, high, line = unit.say(difference.low), unit.say(difference.high), delta * unit.factor
    if verdict == "positive":
        return f"The gain is at least {low} {unit.name} with 95% confidence, above the {line:g} that count."
    if verdict == "negative":
        return f"The gain is at most {high} {unit.name} with 95% confidence, below the {-line:g} that count: it harms."
    if verdict == "none":
        return f"The gain lies between {low} and {high} {unit.name}, too little to count."
    return (
        f"The interval, {low} to {high} {unit.name}, reaches over a line at {line:g} {unit.name} up or down; "
        "more test samples or seeds would narrow it."
    )
