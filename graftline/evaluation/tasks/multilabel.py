"""How a multilabel task is judged: average precision with its intervals, its gain, a prior and a forest beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from graftline.data.dataset import Dataset
from graftline.evaluation.metrics import measure
from graftline.evaluation.metrics.calibration import bins_by, edges_of, squared_error
from graftline.evaluation.metrics.multilabel import average_precisions, error, losses, macro_ap, per_label
from graftline.evaluation.result import Calibration, Figure
from graftline.evaluation.statistics.figures import macro_scores
from graftline.evaluation.statistics.intervals import Interval, wilson
from graftline.evaluation.statistics.precision import Ranking
from graftline.evaluation.statistics.resample import RESAMPLES, around, draws
from graftline.evaluation.statistics.temperature import COLDEST, FEWEST, HOTTEST, words_of
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, method_of, two_levels
from graftline.evaluation.verdict.gate import Finding
from graftline.evaluation.verdict.shipped import TOLERANCE, alike, same_stated, some, unlike

MAIN = "macro_ap"
LOWER_IS_BETTER = False
TRIVIAL = "prior"
FEWEST_RESAMPLES = 200
_MOST = 1_500_000_000  # answers ranked anew over all draws: some tens of seconds

Floats = NDArray[np.floating]


def scored(
    logits: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """All metrics with intervals by bootstrap over samples, and a row a label.

    `exact` has Wilson's interval. The calibration error's has the bins and their confidences held fixed.

    Args:
        logits: (N, K), finite.
        truth: Of the same samples.
        temperature: Logits are divided by it.
        seed: Draws the resamples.
    """
    scaled, there, n = logits / temperature, truth.labels > 0.5, len(logits)
    found = measure(scaled, there, "multilabel")
    random = np.random.default_rng(seed)
    judged = np.flatnonzero(there.any(0))
    single = _precisions([scaled], there, judged, random, pooled=True)[0]
    labelled, pooled = single[:-1], single[-1]
    others = _counted(scaled, there, random)
    exact = int(((scaled > 0) == there).all(1).sum())
    intervals = {
        "macro_ap": around(found["macro_ap"], labelled.mean(0), n, low=0, high=1) if len(judged) else None,
        "micro_ap": around(found["micro_ap"], pooled, n, low=0, high=1) if len(judged) else None,
        "macro_f1": around(found["macro_f1"], others["macro_f1"], n, low=0, high=1),
        "exact": wilson(exact, n),
        "loss": around(found["loss"], others["loss"], n, low=0),
        "ece": _of_error(scaled, there, random),
    }
    rows = per_label(scaled, there, truth.names)
    for k, drawn in zip(judged, labelled, strict=True):
        low, high = around(float(rows[k]["ap"]), drawn, n, low=0, high=1)
        rows[k] |= {"ap_low": low, "ap_high": high}
    return {name: _figure(value, intervals[name]) for name, value in found.items()}, rows


def difference(first: Floats, second: Floats, truth: Truth, *, seed: int) -> Difference:
    """The first side's macro average precision minus the second's.

    Two levels as `gain.paired_difference` has them; average precision is no mean over samples, so each draw of
    samples ranks all models anew. An imagined sample joins the draws, see `Ranking.of_draws`.

    Args:
        first: (S, N, K) logits, a row a seed.
        second: Likewise.
        truth: Of the same samples.
        seed: Draws the resamples.
    """
    there, seeds = truth.labels > 0.5, len(first)
    random = np.random.default_rng(seed)
    scores = tuple(np.array([macro_ap(logits, there) for logits in side]) for side in (first, second))
    judged = np.flatnonzero(there.any(0))
    if not len(judged):
        return Difference(0.0, -1.0, 1.0, "no test sample has any label, so nothing can be compared")
    drawn = np.stack([part.mean(0) for part in _precisions([*first, *second], there, judged, random)])
    moves = drawn[:seeds].mean(0) - drawn[seeds:].mean(0)
    moves -= moves.mean()
    value = float(scores[0].mean() - scores[1].mean())
    low, high = two_levels(value, moves, float(moves.var()), len(there), (scores[0], scores[1]), random)
    return Difference(value, max(-1.0, min(low, value)), min(1.0, max(high, value)), method_of(seeds, len(moves)))


def score(logits: Floats, truth: Truth) -> float:
    """The main figure alone."""
    return macro_ap(logits, truth.labels)


def guesses(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Each label's share of the training images, and a forest's shares, as logits (N, K)."""
    shares, notes = baselines.forest_values(data.train, data.test, seed=seed)
    prior = np.asarray(data.train.labels, np.float64).mean(0)
    return {"prior": np.tile(_logits(prior), (len(data.test), 1)), "forest": _logits(shares)}, notes


def guessed(logits: NDArray[Any], truth: Truth, *, seed: int) -> Figure:
    """A baseline's macro average precision."""
    there, random = truth.labels > 0.5, np.random.default_rng(seed)
    value, judged = macro_ap(logits, there), np.flatnonzero(there.any(0))
    if not len(judged):
        return Figure(value=value)
    drawn = _precisions([logits], there, judged, random)[0].mean(0)
    return _figure(value, around(value, drawn, len(there), low=0, high=1))


def calibrated(val: tuple[Floats, NDArray[Any]], test: tuple[Floats, NDArray[Any]]) -> Calibration | None:
    """Fits one temperature by the binary likelihood on validation; both errors are of test.

    Args:
        val: Logits (M, K) and labels (M, K).
        test: Logits (N, K) and labels (N, K).
    """
    logits, labels = val
    temperature = 1.0
    if len(labels) >= FEWEST:
        found = minimize_scalar(
            lambda log_t: float(losses(logits / np.exp(log_t), labels).mean()),
            bounds=(np.log(COLDEST), np.log(HOTTEST)),
            method="bounded",
            options={"xatol": 1e-5},
        )
        temperature = float(np.exp(found.x))
    return Calibration(
        temperature=temperature,
        ece_before=error(*test),
        ece_after=error(test[0] / temperature, test[1]),
        fitted_on=words_of(len(labels), temperature),
    )


def fewest(data: Dataset) -> tuple[int, str]:
    """How many training images have the rarest label."""
    return int((np.asarray(data.train.labels) > 0.5).sum(0).min()), "training images of the rarest label"


def confused(logits: Floats, truth: Truth) -> list[list[int]]:
    """Nothing: labels do not exclude each other."""
    return []


def recalls(logits: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Of each label, test samples that have it and of those the ones where it is found at 0.5."""
    there = truth.labels > 0.5
    return (there & (logits > 0)).sum(0), there.sum(0)


def same(
    logits: Floats,
    answers: Floats,
    evaluated: Floats,
    truth: Truth,
    stated: dict[str, Figure],
    rows: list[dict[str, Any]],
    *,
    temperature: float,
) -> tuple[list[Finding], list[int]]:
    """Whether the file is the tested model, and its figures those that the evaluation states.

    Returns:
        Findings; and the rows where a label differs whose probability is as good as one half.
    """
    found, flips = _same_answers(logits, answers, evaluated, temperature)
    return [*found, *same_stated(_compared(logits, evaluated, truth, temperature), stated, rows)], flips


def _same_answers(
    logits: Floats, answers: Floats, evaluated: Floats, temperature: float
) -> tuple[list[Finding], list[int]]:
    found = unlike(
        logits,
        evaluated,
        expit(logits.astype(np.float64) / temperature),
        answers,
        f"sigmoid(logits / {temperature:.4g})",
    )
    allowed = TOLERANCE * float(np.abs(evaluated).max())
    other = (logits > 0) != (evaluated > 0)
    rows = np.flatnonzero(other.any(1))
    real = np.flatnonzero((other & (np.abs(evaluated) > allowed)).any(1)).tolist()
    if real:
        found.append(
            Finding(
                "reject",
                f"The file gives other labels than the tested model on {len(real)} samples "
                f"where that was no tie: rows {some(real)} of the test split.",
            )
        )
    elif len(rows):
        found.append(
            Finding(
                "promote",
                f"The file gives other labels on {len(rows)} samples whose probability the "
                f"tested model held for one half: rows {some(rows.tolist())} of test.",
            )
        )
    return found or [alike(logits, evaluated)], rows.tolist()


def _compared(logits: Floats, evaluated: Floats, truth: Truth, temperature: float) -> list[tuple[str, float, float]]:
    """Figures that the gate computes anew: name, the file's, the tested answers'; `/` leads to a label's row."""
    pair = [measure(side / temperature, truth.labels, "multilabel") for side in (logits, evaluated)]
    rows = [np.nan_to_num(average_precisions(side, truth.labels)) for side in (logits, evaluated)]
    found = [(name, pair[0][name], pair[1][name]) for name in ("macro_ap", "macro_f1", "ece")]
    return found + [
        (f"ap/{name}", float(ours), float(theirs)) for name, ours, theirs in zip(truth.names, *rows, strict=True)
    ]


def _precisions(
    models: list[Floats],
    there: NDArray[np.bool_],
    judged: NDArray[np.int64],
    random: np.random.Generator,
    *,
    pooled: bool = False,
) -> list[Floats]:
    """Average precisions of each model in the same draws, a row a label (and one for all together): (K, R) each."""
    n, k = there.shape
    rows = np.arange(n)
    rankings = [[Ranking(logits[:, j], there[:, j], rows) for j in judged] for logits in models]
    if pooled:
        for ranked, logits in zip(rankings, models, strict=True):
            ranked.append(Ranking(logits.ravel(), there.ravel(), np.repeat(rows, k)))
    resamples = int(np.clip(_MOST // (n * k * len(models)), FEWEST_RESAMPLES, RESAMPLES))
    parts = [
        [np.stack([label.of_draws(counts, random) for label in ranked]) for ranked in rankings]
        for counts in draws(n, random, resamples=resamples, each=4 * (k if pooled else 1))
    ]
    return [np.concatenate(model, axis=1) for model in zip(*parts, strict=True)]


def _counted(logits: Floats, there: NDArray[np.bool_], random: np.random.Generator) -> dict[str, Floats]:
    """Macro F1 and loss of draws; an imagined sample, answered at random, joins them."""
    n, k = there.shape
    said, lost = logits > 0, losses(logits, there).mean(1)
    columns = np.concatenate([there & said, said, there], axis=1).astype(np.float64)
    parts, loss = [], []
    for counts in draws(n, random, each=3):
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


def _of_error(logits: Floats, there: NDArray[np.bool_], random: np.random.Generator) -> Interval:
    """Interval of the debiased calibration error: samples are drawn again, bins and confidences stay."""
    n = len(there)
    shares = expit(logits.astype(np.float64)).ravel()
    bins = bins_by(shares, there.ravel())
    _, place = np.unique(np.searchsorted(edges_of(shares), shares, side="right"), return_inverse=True)  # none is empty
    place, b = place.reshape(there.shape), len(bins.samples)
    cells = np.zeros((n, 2 * b))
    np.add.at(cells, (np.arange(n)[:, None], place), 1)
    np.add.at(cells, (np.arange(n)[:, None], place + b), there)
    parts = []
    for counts in draws(n, random):
        sizes, hits = np.split(cells.T @ counts, 2)
        gaps = hits / np.maximum(sizes, 1) - bins.confidence[:, None]
        parts.append(bins.samples / bins.samples.sum() @ gaps**2)
    squared = np.concatenate(parts)
    low, high = np.quantile(squared - squared.mean(), [0.025, 0.975]) + max(0.0, squared_error(bins))
    return Interval(float(np.sqrt(max(0.0, low))), min(1.0, float(np.sqrt(max(0.0, high)))))


def _logits(shares: NDArray[Any]) -> NDArray[np.float32]:
    """Shares as logits; never quite 0 or 1, as no number of images shows that."""
    held = np.clip(np.asarray(shares, np.float64), 1e-3, 1 - 1e-3)
    found: NDArray[np.float32] = np.log(held / (1 - held)).astype(np.float32)
    return found


def _figure(value: float, ends: Interval | None) -> Figure:
    if ends is None or ends.high - ends.low < 1e-12:
        return Figure(value=value)
    return Figure(value=value, low=min(ends.low, value), high=max(ends.high, value))
