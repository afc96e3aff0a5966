"""Computes the average precision of many bootstrap resamples at once.

Average precision is not a mean over samples, so each resample is ranked.
"""

import numpy as np
from numpy.typing import NDArray

from graftline.evaluation.arrays import Floats


class Ranking:
    """Scores of one model for one label, sorted once and reused for all resamples."""

    def __init__(self, scores: Floats, there: NDArray[np.bool_], rows: NDArray[np.int64]) -> None:
        """Sorts the scores.

        Args:
            scores: (M,), higher scores indicate that the label is present.
            there: (M,), whether the sample has the label.
            rows: (M,), index of the sample that each score belongs to.
        """
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        self.rows = rows[order]
        self.positive = np.flatnonzero(there[order])
        self.ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # index of the last score of each tie
        self.of_positive = np.searchsorted(self.ends, self.positive)

    def of_draws(self, counts: NDArray[np.int32], random: np.random.Generator) -> Floats:
        """Returns the average precision in each resample.

        One pseudo-sample with the label and a random rank is added to the resamples (with the probability of a real
        sample), so that a perfect ranking or a label with a single sample also has an interval of nonzero width.

        Args:
            counts: (N, r), how often each resample contains each sample.
            random: Generator that draws the pseudo-sample.

        Returns:
            Average precisions (r,).
        """
        drawn = counts[self.rows]
        above = np.cumsum(drawn, axis=0, dtype=np.int32)[self.ends]
        hits = np.zeros((len(self.ends), counts.shape[1]), np.int32)
        np.add.at(hits, self.of_positive, drawn[self.positive])
        right = np.cumsum(hits, axis=0, dtype=np.int32)
        precision = right / np.maximum(above, 1)
        total = right[-1].astype(np.float64)
        held = np.maximum(total, 1)
        imagined = np.maximum(random.binomial(held.astype(np.int64), 1 / (held + 1)), total == 0)
        rank = random.integers(0, len(self.ends), counts.shape[1])
        guess = (right[rank, np.arange(counts.shape[1])] + 1) / (above[rank, np.arange(counts.shape[1])] + 1)
        found: Floats = ((precision * hits).sum(0) + imagined * guess) / (total + imagined)
        return found
