"""How many training examples a training takes, for the forecast of the time left."""

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.strategies.lookup import profile_of
from graftline.training import recipe

FOLDS = 8
"""Additional full trainings that cross-validation costs: ten, each on eight tenths of the data."""
CONTROL = 1.5
"""Examples that a control trains on, as a multiple of its minimum: it searches its learning rate and trains until it
stops improving."""


def training_examples(job: FinetuneJob, race: RaceJob, rung: int = 1) -> float:
    """Estimates the number of training examples that a step trains on.

    Args:
        job: The step's job.
        race: Job of the tournament's later rungs; without a tournament, its number of images alone is used.
        rung: Number of the rung, from 1.

    Returns:
        At least 1; 0 for a job that trains nothing.
    """
    images = max(1, race.images)
    if job.skip:
        return 0
    if job.strategy is None:
        return CONTROL * min(job.longest, job.control.max_examples_seen or job.longest)
    profile = profile_of(job.strategy)
    total = recipe.computed(profile, job.training, images) if job.training.epochs else job.longest
    begun = race.ends[rung - 2] * images if 1 < rung <= len(race.ends) else 0
    rest = max(0, min(total, job.until or total) - begun)
    features = profile.feature_passes * images if rung == 1 else 0
    return max(features + rest + (FOLDS * total if job.cross_validate else 0), 1)


def later_rung_examples(race: RaceJob, longest: float) -> list[float]:
    """Estimates the number of training examples of each rung after the first.

    Args:
        race: Job of the tournament's later rungs.
        longest: Training examples of the longest candidate.
    """
    passes = [end - before for end, before in zip(race.ends[1:], race.ends, strict=False)]
    rungs = [float(size * step * race.images) for size, step in zip(race.sizes[1:], passes, strict=True)]
    if rungs:
        rungs[-1] *= 1 + FOLDS if race.cross_validate else 1
        rungs[-1] += CONTROL * longest
    return rungs
