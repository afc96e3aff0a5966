"""Describes a tournament before the data are read."""

from collections.abc import Iterator

from graftline.config import Budget
from graftline.config.jobs import PlanJob
from graftline.selection.tournament.pool import PoolEntry, entries
from graftline.selection.tournament.rungs import ETA, FEWEST, FULL, SHARES


def told(job: PlanJob, sources: list[str]) -> Iterator[str]:
    """Yields lines that describe the candidates, the rungs and the budget.

    Args:
        job: Plan job of a tournament. If it has no budget, the default budget is described.
        sources: Labels of the sources.
    """
    budget = job.budget or Budget()
    listed = [entry for entry, _ in entries(job.strategies)]
    cheap, racing = ([entry for entry in listed if entry.is_cheap is kind] for kind in (True, False))
    yield f"a tournament of the sources {', '.join(sources)}, where they can serve, and then the control:"
    yield f"  whole in the first rung: {_names(cheap)}"
    yield f"  racing, the first ones first: {_names(racing)}"
    ends = [f"{share:.0%}" for share in SHARES]
    yield (f"  rungs: {len(SHARES)}, each to {', '.join(ends)} of a whole training; about one in {ETA} goes on")
    shown = (
        f"{budget.examples_seen:,} images shown"
        if budget.examples_seen
        else f"what {FULL} whole trainings a source show, by the number of training images"
    )
    yield f"  budget: {shown}{f'; at most {budget.minutes:g} minutes of training' if budget.minutes else ''}"
    yield f"  it decides how many race (at least {FEWEST}), and where it is small, how long a whole training is"


def _names(listed: list[PoolEntry]) -> str:
    return ", ".join(f"{entry.choice.name}{entry.suffix}" for entry in listed) or "none"
