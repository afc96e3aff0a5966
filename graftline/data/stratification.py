"""Stratification by numbers and by several labels per sample."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Maximum number of bins."""
A_BIN = 10
"""Minimum number of samples per bin."""
ANY = ""
"""Key for the count of all samples, with or without a label."""

Part = TypeVar("Part")


def quantile_bins(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Returns the bin of each sample, bins of about equal numbers of samples.

    Several outputs are standardized and projected on their first principal axis first.

    Args:
        values: (N, D), finite.

    Returns:
        (N,), at most `BINS` different ones; equal values share a bin.
    """
    if not len(values):
        return np.empty(0, np.int64)
    line = np.asarray(values, np.float64)
    line = (line - line.mean(0)) / np.maximum(line.std(0), np.finfo(np.float64).tiny)
    if line.shape[1] > 1:
        line = line @ np.linalg.svd(line, full_matrices=False)[2][:1].T
    line = line[:, 0].round(9)  # what is equal up to rounding shares a bin
    bins = min(BINS, max(1, len(line) // A_BIN))
    edges = np.unique(np.quantile(line, np.arange(1, bins) / bins))
    bins_of_values: NDArray[np.int64] = np.searchsorted(edges, line, side="right").astype(np.int64)
    return bins_of_values


def iterative(sizes: Sequence[Counter[str]], want: Mapping[Part, Counter[str]]) -> list[Part]:
    """Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) of units of one sample or more.

    The label with the fewest samples left goes first; each of its units joins the part that still lacks most samples
    of it, among equals the one that lacks most samples in total, then the first. Units without labels come last.

    Args:
        sizes: A unit's samples of each label, and under `ANY` all of them; in the order in which units are dealt.
        want: How many samples of each label, and under `ANY` in all, each part is short of; changed in place.

    Returns:
        The part of each unit.
    """
    holders: dict[str, list[int]] = defaultdict(list)
    left: Counter[str] = Counter()
    for number, size in enumerate(sizes):
        left.update(size)
        for name in size:
            holders[name].append(number)
    placed: dict[int, Part] = {}
    waiting = set(left) - {ANY}
    while len(placed) < len(sizes):
        name = min(waiting, key=lambda each: (left[each], each)) if waiting else ANY
        waiting.discard(name)
        for number in holders[name]:
            if number not in placed:
                part = max(want, key=lambda each: (want[each][name], want[each][ANY]))
                want[part].subtract(sizes[number])
                left.subtract(sizes[number])
                placed[number] = part
    return [placed[number] for number in range(len(sizes))]
