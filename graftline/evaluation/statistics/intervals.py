"""Computes 95% intervals of proportions that contain the estimate, and Holm's correction for multiple tests."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Z = 1.959963984540054
"""97.5% quantile of the standard normal distribution."""


class Interval(NamedTuple):
    """A 95% interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Returns Wilson's score interval of a proportion (Wilson 1927), within 0..1.

    Args:
        successes: Number of successes, 0..n.
        n: Number of trials, at least 1.

    Raises:
        ValueError: `n` is below 1 or `successes` is outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"wilson: {successes} of {n} is no share")
    share = successes / n
    center = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return Interval(min(share, max(0.0, float(center - half))), max(share, min(1.0, float(center + half))))


def bonett_price(only_first: float, only_second: float, n: int) -> Interval:
    """Returns the adjusted Wald interval of a paired difference of proportions (Bonett and Price 2012), within -1..1.

    One pseudo-pair is added to each kind of discordant pairs, so that the width is nonzero with few or no such pairs.

    Args:
        only_first: Number of pairs in which only the first is correct; a mean over comparisons may be fractional.
        only_second: Number of pairs in which only the second is correct.
        n: Total number of pairs, at least 1.

    Raises:
        ValueError: A count is negative, `n` is below 1, or the discordant pairs exceed `n`.
    """
    if n < 1 or min(only_first, only_second) < 0 or only_first + only_second > n * (1 + 1e-9):
        raise ValueError(f"bonett_price: {only_first} and {only_second} of {n} pairs do not fit")
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = Z * np.sqrt((first + second - (first - second) ** 2) / (n + 2))
    center, difference = first - second, (only_first - only_second) / n
    return Interval(min(difference, max(-1.0, float(center - half))), max(difference, min(1.0, float(center + half))))


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Returns which null hypotheses are rejected with Holm's correction (Holm 1979).

    Args:
        p_values: One p-value per test.
        level: Family-wise error rate.
    """
    order = np.argsort(p_values, kind="stable")
    rejected = [False] * len(p_values)
    for rank, test in enumerate(order):
        if not p_values[test] <= level / (len(p_values) - rank):
            break
        rejected[test] = True
    return rejected


def standard_error_of_mean_proportion(groups: Sequence[tuple[float, int]]) -> float:
    """Returns the standard error of the mean of several groups' proportions.

    Each variance is computed at (successes + 1) / (n + 2), so that it is nonzero for a group without failures.

    Args:
        groups: Number of successes and number of trials of each group.
    """
    shares = [((right + 1) / (count + 2), count) for right, count in groups]
    return math.sqrt(sum(share * (1 - share) / count for share, count in shares)) / len(shares)
