"""How a regression is judged: RMSE with its intervals, the gain in deviations, a mean and a forest beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.evaluation.metrics import measure
from graftline.evaluation.metrics.regression import per_output, squares
from graftline.evaluation.result import Calibration, Figure
from graftline.evaluation.statistics.intervals import Interval
from graftline.evaluation.statistics.resample import RESAMPLES, around, draws
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, method_of, two_levels
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.shipped import same_stated

MAIN = "rmse"
LOWER_IS_BETTER = True
TRIVIAL = "mean"
_NOISE = 1e-3  # of a deviation: what a GPU and a CPU may differ by
_ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of the value: where it is large beside its deviation

Floats = NDArray[np.floating]


def scored(
    values: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """RMSE, MAE and R2 with intervals by bootstrap over samples, and a row an output in its own unit.

    RMSE's is drawn for its logarithm: its square is skewed, and it cannot be negative. What no draw can move (all
    errors equal) has no interval.

    Args:
        values: (N, D), finite, in the labels' units.
        truth: Of the same samples.
        temperature: Of no meaning here.
        seed: Draws the resamples.
    """
    labels, n = truth.labels.astype(np.float64), len(values)
    found = measure(values / truth.scale, labels / truth.scale, "regression")
    spread = labels - labels.mean(0)
    columns = np.concatenate([squares(values, labels), np.abs(values - labels), spread, spread**2], axis=1)
    parts = [columns.T @ counts / n for counts in draws(n, np.random.default_rng(seed))]
    square, absolute, mean, total = np.split(np.concatenate(parts, axis=1), 4)
    variance = total - mean**2
    roots = (np.sqrt(square) / truth.scale[:, None]).mean(0)
    explained = 1 - np.divide(square, variance, out=np.ones_like(square), where=variance > 0).mean(0)
    intervals = {
        "rmse": _of_logarithm(found["rmse"], roots, n),
        "mae": around(found["mae"], (absolute / truth.scale[:, None]).mean(0), n, low=0.0),
        "r2": around(found["r2"], explained, n, high=1.0),
    }
    return (
        {name: _figure(value, intervals[name]) for name, value in found.items()},
        per_output(values, labels, truth.names),
    )


def difference(first: Floats, second: Floats, truth: Truth, *, seed: int) -> Difference:
    """By how much the first side's RMSE is below the second's, in deviations of the labels, mean over the outputs.

    Two levels as `gain.paired_difference` has them: samples are drawn again for both sides and all seeds together,
    seeds of each side by themselves. Two imagined samples, on each of which one side makes its usual error and the
    other none, join the draws, so that sides which answer alike leave a width too.

    Args:
        first: (S, N, D) values, a row a seed.
        second: Likewise.
        truth: Of the same samples.
        seed: Draws the resamples.
    """
    errors = [
        np.stack([squares(values, truth.labels) / truth.deviation**2 for values in side]) for side in (first, second)
    ]  # (S, N, D) each
    scores = tuple(np.sqrt(side.mean(1)).mean(1) for side in errors)
    usual = np.maximum(np.concatenate(errors).mean((0, 1)), 1e-12)
    joined = np.concatenate([_imagined(side, usual, at) for at, side in enumerate(errors)])  # (2 S, N + 2, D)
    seeds, n = len(first), first.shape[1]
    random = np.random.default_rng(seed)
    moves = np.concatenate([_gap(joined, counts) for counts in draws(n + 2, random, each=joined.shape[0])])
    moves -= moves.mean()
    value = float(scores[1].mean() - scores[0].mean())
    low, high = two_levels(value, moves, float(moves.var()), n, (scores[1], scores[0]), random)
    return Difference(value, min(low, value), max(high, value), method_of(seeds, RESAMPLES))


def _imagined(side: Floats, usual: Floats, at: int) -> Floats:
    rows = np.zeros((len(side), 2, side.shape[2]))
    rows[:, at] = usual
    return np.concatenate([side, rows], axis=1)


def _gap(joined: Floats, counts: NDArray[np.int32]) -> Floats:
    """Second side's RMSE less the first's in each draw; (2 S, n, D) and counts (n, r) to (r,)."""
    roots = np.stack([np.sqrt(np.maximum(side.T @ counts, 0) / len(counts)).mean(0) for side in joined])
    half = len(roots) // 2
    gap: Floats = roots[half:].mean(0) - roots[:half].mean(0)
    return gap


def score(values: Floats, truth: Truth) -> float:
    """The main figure alone."""
    return measure(values / truth.scale, truth.labels / truth.scale, "regression")[MAIN]


def guesses(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The mean of the training labels, and a forest's values; (N, D) each."""
    forest, notes = baselines.forest_values(data.train, data.test, seed=seed)
    mean = np.asarray(data.train.labels, np.float64).mean(0)
    return {"mean": np.tile(mean.astype(np.float32), (len(data.test), 1)), "forest": forest}, notes


def guessed(values: NDArray[Any], truth: Truth, *, seed: int) -> Figure:
    """A baseline's RMSE."""
    return scored(values, truth, temperature=1.0, seed=seed)[0][MAIN]


def calibrated(val: tuple[Floats, NDArray[Any]], test: tuple[Floats, NDArray[Any]]) -> Calibration | None:
    """None: there are no probabilities."""
    return None


def fewest(data: Dataset) -> tuple[int, str]:
    """How many labels there are to learn from."""
    return len(data.train), "training images"


def confused(values: Floats, truth: Truth) -> list[list[int]]:
    """Nothing: there are no classes."""
    return []


def recalls(values: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """None: there are no classes."""
    return None


def same(
    values: Floats,
    answers: Floats,
    evaluated: Floats,
    truth: Truth,
    stated: dict[str, Figure],
    rows: list[dict[str, Any]],
    *,
    temperature: float,
) -> tuple[list[Finding], list[int]]:
    """Whether the file is the tested model, and its figures those that the evaluation states. No rows can be tied."""
    found = [_same_values(values, evaluated, truth)]
    return [*found, *same_stated(_compared(values, evaluated, truth), stated, rows)], []


def _same_values(values: Floats, evaluated: Floats, truth: Truth) -> Finding:
    room = _NOISE * truth.deviation + _ROUNDING * np.abs(evaluated).max(0)
    apart = np.abs(values.astype(np.float64) - evaluated)
    worst = float((apart / truth.deviation).max())
    if (apart > room).any():
        output = truth.names[int((apart / room).max(0).argmax())]
        return Finding(
            "reject",
            f"The file is not the tested model: its values differ by up to {worst:.3g} "
            f"deviations of the test labels, most of all {output!r}; float noise allows "
            f"{float((room / truth.deviation).max()):.3g}.",
        )
    return Finding(
        "promote",
        f"The file answers as the tested model does on all {len(values):,} test samples; "
        f"largest difference of a value {worst:.1e} deviations.",
    )


def _compared(values: Floats, evaluated: Floats, truth: Truth) -> list[tuple[str, float, float]]:
    """Figures that the gate computes anew: name, the file's, the tested answers'; `/` leads to an output's row."""
    pair = [measure(side / truth.scale, truth.labels / truth.scale, "regression") for side in (values, evaluated)]
    rows = [per_output(side, truth.labels, truth.names) for side in (values, evaluated)]
    return [
        *((name, pair[0][name], pair[1][name]) for name in pair[0]),
        *(
            (f"rmse/{name}", float(ours["rmse"]), float(theirs["rmse"]))
            for name, ours, theirs in zip(truth.names, *rows, strict=True)
        ),
    ]


def _of_logarithm(value: float, drawn: Floats, n: int) -> Interval:
    if value <= 0 or drawn.min() <= 0:
        return Interval(value, value)
    low, high = around(float(np.log(value)), np.log(drawn), n)
    return Interval(float(np.exp(low)), float(np.exp(high)))


def _figure(value: float, ends: Interval) -> Figure:
    if ends.high - ends.low <= 1e-12 * max(abs(value), 1e-12):
        return Figure(value=value)
    return Figure(value=value, low=min(ends.low, value), high=max(ends.high, value))
