"""Computes bootstrap resamples of multilabel metrics."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from graftline.evaluation.arrays import Floats
from graftline.evaluation.metrics.calibration import bins_by, edges_of, squared_error
from graftline.evaluation.metrics.multilabel import losses
from graftline.evaluation.statistics.average_precision import Ranking
from graftline.evaluation.statistics.estimates import macro_scores
from graftline.evaluation.statistics.intervals import Interval
from graftline.evaluation.statistics.resample import RESAMPLES, bootstrap_counts

MIN_RESAMPLES = 200
_MAX_RANKED = 1_500_000_000  # maximum number of ranked scores over all resamples; takes tens of seconds


def bootstrap_average_precisions(
    models: list[Floats],
    there: NDArray[np.bool_],
    judged: NDArray[np.int64],
    random: np.random.Generator,
    *,
    pooled: bool = False,
) -> list[Floats]:
    """Returns the average precisions (K, R) of each model in the same resamples, one row per label.

    If `pooled` is True, a last row has the average precision over all labels together.
    """
    n, k = there.shape
    rows = np.arange(n)
    rankings = [[Ranking(logits[:, j], there[:, j], rows) for j in judged] for logits in models]
    if pooled:
        for ranked, logits in zip(rankings, models, strict=True):
            ranked.append(Ranking(logits.ravel(), there.ravel(), np.repeat(rows, k)))
    resamples = int(np.clip(_MAX_RANKED // (n * k * len(models)), MIN_RESAMPLES, RESAMPLES))
    parts = [
        [np.stack([label.of_draws(counts, random) for label in ranked]) for ranked in rankings]
        for counts in bootstrap_counts(n, random, resamples=resamples, each=4 * (k if pooled else 1))
    ]
    return [np.concatenate(model, axis=1) for model in zip(*parts, strict=True)]


def bootstrap_f1_and_loss(logits: Floats, there: NDArray[np.bool_], random: np.random.Generator) -> dict[str, Floats]:
    """Returns the macro F1 and the loss of each resample, with one pseudo-sample with random predictions added."""
    n, k = there.shape
    positive, lost = logits > 0, losses(logits, there).mean(1)
    columns = np.concatenate([there & positive, positive, there], axis=1).astype(np.float64)
    parts, loss = [], []
    for counts in bootstrap_counts(n, random, each=3):
        sums = columns.T @ counts  # (3 K, r)
        draw = np.repeat(np.arange(counts.shape[1]), random.binomial(n, 1 / (n + 1), counts.shape[1]))
        truth, guess = there[random.integers(0, n, len(draw))], random.random((len(draw), k)) < 0.5
        np.add.at(sums.T, draw, np.concatenate([truth & guess, guess, truth], axis=1).astype(np.float64))
        parts.append(sums)
        loss.append(lost @ counts / n)
    right, predicted, actual = np.split(np.concatenate(parts, axis=1).T, 3, axis=1)
    with np.errstate(invalid="ignore"):
        f1 = macro_scores(right, predicted, actual)["macro_f1"]
    return {"macro_f1": np.nan_to_num(f1), "loss": np.concatenate(loss)}


def calibration_interval(logits: Floats, there: NDArray[np.bool_], random: np.random.Generator) -> Interval:
    """Returns the 95% bootstrap interval of the debiased calibration error, with bins and confidences held fixed."""
    n = len(there)
    shares = expit(logits.astype(np.float64)).ravel()
    bins = bins_by(shares, there.ravel())
    _, bin_of = np.unique(np.searchsorted(edges_of(shares), shares, side="right"), return_inverse=True)  # none is empty
    bin_of, b = bin_of.reshape(there.shape), len(bins.samples)
    cells = np.zeros((n, 2 * b))
    np.add.at(cells, (np.arange(n)[:, None], bin_of), 1)
    np.add.at(cells, (np.arange(n)[:, None], bin_of + b), there)
    parts = []
    for counts in bootstrap_counts(n, random):
        sizes, hits = np.split(cells.T @ counts, 2)
        gaps = hits / np.maximum(sizes, 1) - bins.confidence[:, None]
        parts.append(bins.samples / bins.samples.sum() @ gaps**2)
    squared = np.concatenate(parts)
    low, high = np.quantile(squared - squared.mean(), [0.025, 0.975]) + max(0.0, squared_error(bins))
    return Interval(float(np.sqrt(max(0.0, low))), min(1.0, float(np.sqrt(max(0.0, high)))))
