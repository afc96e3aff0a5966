"""Regression: one or more numbers per sample, compared by RMSE."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.data.labels import NUMERIC
from graftline.evaluation.arrays import Floats
from graftline.evaluation.metrics.regression import per_output, regression_metrics, rmse, squares
from graftline.evaluation.result import Estimate
from graftline.evaluation.statistics.intervals import Interval
from graftline.evaluation.statistics.resample import RESAMPLES, bootstrap_counts, bootstrap_interval
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.task_kind import ReportWords, TaskKind
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, describe_method, two_level_interval
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.same_model import ExportedOutputs, check_stated_metrics

if TYPE_CHECKING:
    from graftline.evaluation.torch_functions import Loss

_NOISE = 1e-3  # of a deviation: what a GPU and a CPU may differ by
_ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of the value: where it is large beside its deviation


def _estimate_metrics(
    values: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Estimate], list[dict[str, Any]]]:
    """Returns RMSE, MAE and R2 with intervals by bootstrap over samples, and a row per output in its own unit.

    RMSE's is drawn for its logarithm: its square is skewed, and it cannot be negative. What no draw can move (all
    errors equal) has no interval.

    Args:
        values: (N, D), finite, in the labels' units.
        truth: Of the same samples.
        temperature: Ignored.
        seed: Draws the resamples.
    """
    labels, n = truth.labels.astype(np.float64), len(values)
    result = regression_metrics(values / truth.scale, labels / truth.scale)
    spread = labels - labels.mean(0)
    columns = np.concatenate([squares(values, labels), np.abs(values - labels), spread, spread**2], axis=1)
    parts = [columns.T @ counts / n for counts in bootstrap_counts(n, np.random.default_rng(seed))]
    square, absolute, mean, total = np.split(np.concatenate(parts, axis=1), 4)
    variance = total - mean**2
    roots = (np.sqrt(square) / truth.scale[:, None]).mean(0)
    explained = 1 - np.divide(square, variance, out=np.ones_like(square), where=variance > 0).mean(0)
    intervals = {
        "rmse": _of_logarithm(result["rmse"], roots, n),
        "mae": bootstrap_interval(result["mae"], (absolute / truth.scale[:, None]).mean(0), n, low=0.0),
        "r2": bootstrap_interval(result["r2"], explained, n, high=1.0),
    }
    return (
        {name: _estimate(value, intervals[name]) for name, value in result.items()},
        per_output(values, labels, truth.names),
    )


def _difference(first: Floats, second: Floats, truth: Truth, *, seed: int) -> Difference:
    """Returns by how much the first RMSE is below the second, in deviations of the labels, mean over the outputs.

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
    moves = np.concatenate([_gap(joined, counts) for counts in bootstrap_counts(n + 2, random, each=joined.shape[0])])
    moves -= moves.mean()
    value = float(scores[1].mean() - scores[0].mean())
    low, high = two_level_interval(value, moves, float(moves.var()), n, (scores[1], scores[0]), random)
    return Difference(value, min(low, value), max(high, value), describe_method(seeds, RESAMPLES))


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


def _score(values: Floats, truth: Truth) -> float:
    """Returns the RMSE."""
    return rmse(values / truth.scale, truth.labels / truth.scale)


def _baseline_predictions(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Returns the mean of the training labels and the values that a random forest predicts, (N, D) each."""
    forest, notes = baselines.forest_values(data.train, data.test, seed=seed)
    mean = np.asarray(data.train.labels, np.float64).mean(0)
    return {"mean": np.tile(mean.astype(np.float32), (len(data.test), 1)), "forest": forest}, notes


def _baseline_score(values: NDArray[Any], truth: Truth, *, seed: int) -> Estimate:
    """Returns a baseline's RMSE."""
    return _estimate_metrics(values, truth, temperature=1.0, seed=seed)[0]["rmse"]


def _min_class_count(data: Dataset) -> tuple[int, str]:
    """Returns the number of training images."""
    return len(data.train), "training images"


def _check_exported(exported: ExportedOutputs, truth: Truth) -> tuple[list[Finding], list[int]]:
    """Checks values and stated metrics; no rows can be tied."""
    values, evaluated = exported.outputs, exported.evaluated
    return [
        _same_values(values, evaluated, truth),
        *check_stated_metrics(_compared(values, evaluated, truth), exported.stated, exported.rows),
    ], []


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
    pair = [regression_metrics(outputs / truth.scale, truth.labels / truth.scale) for outputs in (values, evaluated)]
    rows = [per_output(outputs, truth.labels, truth.names) for outputs in (values, evaluated)]
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
    low, high = bootstrap_interval(float(np.log(value)), np.log(drawn), n)
    return Interval(float(np.exp(low)), float(np.exp(high)))


def _estimate(value: float, ends: Interval) -> Estimate:
    if ends.high - ends.low <= 1e-12 * max(abs(value), 1e-12):
        return Estimate(value=value)
    return Estimate(value=value, low=min(ends.low, value), high=max(ends.high, value))


def _validation_score(values: Floats, labels: NDArray[Any], deviation: Floats) -> tuple[None, float, float]:
    """Returns minus the mean standardized RMSE; its standard error by the delta method."""
    errors_squared = ((values.astype(np.float64) - labels) / deviation) ** 2
    errors = np.sqrt(errors_squared.mean(0))
    influence = (errors_squared / np.maximum(2 * errors, np.finfo(np.float64).tiny)).mean(1)
    spread = float(influence.std(ddof=1)) if len(labels) > 1 else float(errors.mean())
    return None, -float(errors.mean()), spread / math.sqrt(len(labels))


def _losses() -> "dict[str, Loss]":
    from graftline.evaluation.torch_functions import huber, squared

    return {"cross_entropy": squared, "mse": squared, "huber": huber}


REGRESSION = TaskKind(
    name="regression",
    label_type=NUMERIC,
    words=ReportWords(
        nouns=("output", "outputs"),
        validation_metric="RMSE in deviations",
        row_metric=("r2", "R\N{SUPERSCRIPT TWO}"),
        model_card="Regression from images to",
        limits="It always predicts a value, even for an image for which the value has no meaning.",
    ),
    metrics={"regression": regression_metrics},
    main_metric="rmse",
    lower_is_better=True,
    trivial_baseline="mean",
    loss_names=("cross_entropy", "mse", "huber"),
    losses=_losses,
    distillation_loss=None,
    torch_link=None,
    link=None,
    estimate_metrics=_estimate_metrics,
    difference=_difference,
    score=_score,
    validation_score=_validation_score,
    baseline_predictions=_baseline_predictions,
    baseline_score=_baseline_score,
    min_class_count=_min_class_count,
    check_exported=_check_exported,
    closed_form_losses=("cross_entropy", "mse"),
)
