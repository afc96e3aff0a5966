"""How a classification is judged: accuracy and its kin, the gain in accuracy, majority class and forest beside it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.evaluation.metrics.classification import confusion, per_class
from graftline.evaluation.result import Calibration, Figure
from graftline.evaluation.statistics.figures import figures
from graftline.evaluation.statistics.intervals import wilson
from graftline.evaluation.statistics.temperature import calibrate
from graftline.evaluation.tasks import baselines
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference, paired_difference
from graftline.evaluation.verdict.gate import MAJORITY, Finding
from graftline.evaluation.verdict.shipped import same_figures
from graftline.evaluation.verdict.shipped import same_model as compare

MAIN = "accuracy"
LOWER_IS_BETTER = False
TRIVIAL = MAJORITY

Floats = NDArray[np.floating]


def scored(
    logits: Floats, truth: Truth, *, temperature: float, seed: int
) -> tuple[dict[str, Figure], list[dict[str, Any]]]:
    """All metrics with their intervals, and a row a class."""
    return (
        figures(logits / temperature, truth.labels, seed=seed),
        per_class(logits.argmax(1), truth.labels, truth.names),
    )


def difference(first: NDArray[Any], second: NDArray[Any], truth: Truth, *, seed: int) -> Difference:
    """The first side's accuracy minus the second's; logits (S, N, K), or predicted classes (S, N)."""
    return paired_difference(_right(first, truth), _right(second, truth), seed=seed)


def score(logits: Floats, truth: Truth) -> float:
    """Accuracy alone."""
    return float((logits.argmax(1) == truth.labels).mean())


def guesses(data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """The majority class and a forest's classes; (N,) each."""
    forest, notes = baselines.forest(data.train, data.test, seed=seed)
    return {"majority": baselines.majority(data.train, data.test), "forest": forest}, notes


def guessed(predicted: NDArray[Any], truth: Truth, *, seed: int) -> Figure:
    """A baseline's accuracy."""
    hits, n = int((predicted == truth.labels).sum()), len(predicted)
    low, high = wilson(hits, n)
    return Figure(value=hits / n, low=low, high=high)


def calibrated(val: tuple[Floats, NDArray[Any]], test: tuple[Floats, NDArray[Any]]) -> Calibration | None:
    """Fits the temperature on validation; see `calibration.calibrate`."""
    return calibrate(val, test)


def fewest(data: Dataset) -> tuple[int, str]:
    """Training images of the smallest class."""
    counts = np.bincount(data.train.labels, minlength=len(data.manifest.classes))
    return int(counts.min()), "labels in the smallest class"


def confused(logits: Floats, truth: Truth) -> list[list[int]]:
    """The confusion matrix."""
    counts: list[list[int]] = confusion(logits.argmax(1), truth.labels, len(truth.names)).tolist()
    return counts


def recalls(logits: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Of each class, samples that were recognised and samples in all."""
    counts = confusion(logits.argmax(1), truth.labels, len(truth.names))
    return np.diag(counts), counts.sum(1)


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
    """Whether the file is the tested model, and its figures those that the evaluation states."""
    found, flips = compare(logits, answers, evaluated, temperature=temperature)
    return [*found, *same_figures(logits / temperature, truth.labels, stated, rows, flips=len(flips))], flips


def _right(answers: NDArray[Any], truth: Truth) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (answers.argmax(2) if answers.ndim == 3 else answers) == truth.labels
    return found
