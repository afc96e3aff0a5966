"""How each task is judged: one file a task, one table."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.evaluation.result import Calibration, Figure
from graftline.evaluation.tasks import classification, multilabel, regression
from graftline.evaluation.tasks.truth import Truth
from graftline.evaluation.verdict.gain import Difference
from graftline.evaluation.verdict.gate import Finding

Floats = NDArray[np.floating]
PredictionRows = list[dict[str, Any]]


class Rules(Protocol):
    """What a task's file holds. Outputs are logits (N, K), or a regression's values (N, D), all of them finite."""

    MAIN: str
    """The figure that sides are compared by, a key of `evaluation.UNITS`."""
    LOWER_IS_BETTER: bool
    TRIVIAL: str
    """The baseline that has learned nothing from the images."""

    def scored(
        self, outputs: Floats, truth: Truth, *, temperature: float, seed: int
    ) -> tuple[dict[str, Figure], PredictionRows]:
        """All figures with their intervals, and a row a class, output or label."""

    def difference(self, first: NDArray[Any], second: NDArray[Any], truth: Truth, *, seed: int) -> Difference:
        """How much better the first side is: outputs (S, N, ...), or what a baseline predicted."""

    def score(self, outputs: Floats, truth: Truth) -> float:
        """The main figure alone."""

    def guesses(self, data: Dataset, *, seed: int) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """What the baselines predict of test, and notes for the report."""

    def guessed(self, guess: NDArray[Any], truth: Truth, *, seed: int) -> Figure:
        """A baseline's main figure."""

    def calibrated(self, val: tuple[Floats, NDArray[Any]], test: tuple[Floats, NDArray[Any]]) -> Calibration | None:
        """The temperature, fitted on validation; None where there are no probabilities."""

    def fewest(self, data: Dataset) -> tuple[int, str]:
        """Labels to learn the rarest thing from, and what they are called."""

    def confused(self, outputs: Floats, truth: Truth) -> list[list[int]]:
        """The confusion matrix; empty where there are no classes."""

    def recalls(self, outputs: Floats, truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Samples found and samples in all of each class or label, (K,) each."""

    def same(
        self,
        outputs: Floats,
        answers: Floats,
        evaluated: Floats,
        truth: Truth,
        stated: dict[str, Figure],
        rows: PredictionRows,
        *,
        temperature: float,
    ) -> tuple[list[Finding], list[int]]:
        """Whether the file is the tested model and the stated figures are true; and the rows that differ by a tie."""


TASKS: dict[str, Rules] = {"classification": classification, "regression": regression, "multilabel": multilabel}
