"""A budget cut into rungs: how many candidates train in each, and for how many passes over the training split."""

from collections.abc import Sequence
from dataclasses import dataclass

ETA = 3
"""Of the candidates in a rung, one in so many goes on."""
SHARES = (1 / 13, 4 / 13, 1.0)
"""Of a whole training, at the end of each rung: 1, 3 and 9 parts, so that three rungs of n, n/3 and n/9 candidates cost
the same, for each goes on where it paused."""
FEWEST = 3
"""Candidates that a tournament has at least, where there are so many."""
FULL = 5
"""Whole trainings a source that the budget is worth where none is given."""


@dataclass(frozen=True)
class Rungs:
    """The plan of a tournament; all lengths in passes over the training split."""

    sizes: tuple[int, ...]
    """Candidates that train in each rung."""
    ends: tuple[int, ...]
    """Passes that each has made at a rung's end."""

    @property
    def steps(self) -> list[int]:
        """Passes that each makes in a rung."""
        return [end - before for end, before in zip(self.ends, (0, *self.ends), strict=False)]

    def cost(self, before: Sequence[int]) -> int:
        """Returns the passes of all rungs.

        Args:
            before: What each candidate costs beside its passes, such as its features; by rank, all in the first rung.
        """
        return sum(size * step for size, step in zip(self.sizes, self.steps, strict=True)) + sum(
            before[: self.sizes[0]]
        )


def rungs_of(candidates: int, length: int) -> Rungs:
    """Returns the rungs of so many candidates with trainings of so many passes, both at least 1."""
    sizes = tuple(max(1, round(candidates / ETA**rung)) for rung in range(len(SHARES)))
    first = max(1, round(length * SHARES[0]))
    second = min(length, max(first + 1, round(length * SHARES[1])))
    return Rungs(sizes, (first, second, length))


def split(budget: int, length: int, before: Sequence[int]) -> Rungs | None:
    """Returns the rungs that a budget pays for: whole trainings first, then as many candidates as there can be.

    Args:
        budget: Passes over the training split, all candidates together.
        length: Passes of a whole training, at least 1.
        before: For each candidate, the first one before all, what it costs beside its passes.

    Returns:
        None where even `FEWEST` candidates of one pass are too dear. A larger budget never gives shorter trainings, nor
        fewer candidates of the same length.
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
