"""Splits a budget into rungs: the number of candidates per rung and their passes over the training split."""

from collections.abc import Sequence
from dataclasses import dataclass

ETA = 3
"""Reduction factor: one in `ETA` candidates of a rung continues."""
SHARES = (1 / 13, 4 / 13, 1.0)
"""Completed share of a full training at the end of each rung.

The rungs take 1, 3 and 9 parts of a training. Because candidates resume from their last checkpoint, three rungs of n,
n/3 and n/9 candidates have the same cost."""
FEWEST = 3
"""Minimum number of candidates of a tournament, if that many are available."""
FULL = 5
"""Default budget, in full trainings per source."""


@dataclass(frozen=True)
class Rungs:
    """Plan of a tournament; all lengths are in passes over the training split."""

    sizes: tuple[int, ...]
    """Number of candidates in each rung."""
    ends: tuple[int, ...]
    """Passes that a candidate has completed at the end of each rung."""

    @property
    def steps(self) -> list[int]:
        """Number of passes of a candidate within each rung."""
        return [end - before for end, before in zip(self.ends, (0, *self.ends), strict=False)]

    def cost(self, before: Sequence[int]) -> int:
        """Returns the total number of passes of all rungs.

        Args:
            before: Additional cost of each candidate in passes, such as caching features, by rank. It is counted in
                the first rung.
        """
        return sum(size * step for size, step in zip(self.sizes, self.steps, strict=True)) + sum(
            before[: self.sizes[0]]
        )


def rungs_of(candidates: int, length: int) -> Rungs:
    """Returns the rungs for a number of candidates and a training length in passes, both at least 1."""
    sizes = tuple(max(1, round(candidates / ETA**rung)) for rung in range(len(SHARES)))
    first = max(1, round(length * SHARES[0]))
    second = min(length, max(first + 1, round(length * SHARES[1])))
    return Rungs(sizes, (first, second, length))


def split(budget: int, length: int, before: Sequence[int]) -> Rungs | None:
    """Returns the rungs that fit a budget: full-length trainings first, then as many candidates as possible.

    Args:
        budget: Total number of passes over the training split, over all candidates.
        length: Passes of a full training, at least 1.
        before: Additional cost of each candidate in passes, by rank.

    Returns:
        The rungs, or None if the budget is too small for `FEWEST` candidates of one pass. A larger budget never results
        in shorter trainings, nor in fewer candidates of the same length.
    """
    if not before:
        return Rungs((0,) * len(SHARES), (0,) * len(SHARES))
    for candidates in range(len(before), min(FEWEST, len(before)) - 1, -1):
        found = rungs_of(candidates, length)
        if found.cost(before) <= budget:
            return found
    for shorter in range(length - 1, 0, -1):
        found = rungs_of(min(FEWEST, len(before)), shorter)
        if found.cost(before) <= budget:
            return found
    return None
