"""Trains one candidate and computes its validation score."""

import time
from dataclasses import dataclass

from graftline.config.jobs import FinetuneJob
from graftline.models.checkpoint import CandidateResult
from graftline.selection.crossvalidation import Crossed, cross_validate
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import profile_of
from graftline.training import recipe
from graftline.training.interface import StrategyInput, StrategyResult
from graftline.training.validation import FOLDS, REPEATS, score


@dataclass(frozen=True)
class Result:
    """Result of a training."""

    trained: StrategyResult
    row: CandidateResult


def train(job: FinetuneJob, task: StrategyInput) -> Result:
    """Trains a candidate and scores it on the validation split or by cross-validation.

    Args:
        job: Job of the candidate; `cross_validate` selects how the candidate is scored.
        task: Input of the strategy.

    Raises:
        DivergedError: The training diverged in its first epoch.
        NotApplicableError: The strategy does not apply to the source or the target.
    """
    strategy = STRATEGIES[job.strategy_name].train
    crossed: Crossed | None = None
    if job.cross_validate and not job.is_control:
        samples = task.train.all_samples()
        crossed = cross_validate(strategy, task, samples)
    began = time.perf_counter()
    trained = strategy(task)
    seconds = max(time.perf_counter() - began, trained.history[-1].seconds if trained.history else 0.0)
    row = CandidateResult(
        source=job.source,
        strategy=job.strategy_name,
        status="diverged" if trained.diverged else "ok",
        reason=trained.diverged,
        train_seconds=seconds,
        examples_seen=trained.examples_seen,
        trained_parameters=trained.trained_parameters,
        converged=trained.converged,
        learning_rate=trained.learning_rate,
        recipe=job.recipe,
        notes=[*trained.notes, *([trained.numerics] if trained.numerics else [])],
    )
    if crossed is not None:
        scored = {
            "val_accuracy": crossed.accuracy,
            "val_score": crossed.main,
            "val_score_se": crossed.se,
            "val_method": crossed.method,
        }
    elif len(task.val):
        found = score(trained.predict(task.val), task.val.labels, task.training.loss, task.objective)
        scored = {
            "val_accuracy": found.accuracy,
            "val_score": found.main,
            "val_score_se": found.se,
            "val_method": "validation split",
        }
    else:
        scored = {"val_method": "none: no validation images"}
    task.progress.finish()
    return Result(trained, row.model_copy(update=scored))


def images_of(job: FinetuneJob, train: int, pool: int) -> int:
    """Returns the approximate number of images that pass through the network in the training and its folds."""
    if job.strategy is None:
        return min(job.longest, job.control.max_examples_seen or job.longest)
    profile = profile_of(job.strategy)
    work = recipe.computed(profile, job.training, train)
    work = profile.feature_passes * pool + (work if job.until is None else min(work, job.until))
    if job.cross_validate:
        inside = pool * (FOLDS - 1) // FOLDS
        work += REPEATS * FOLDS * recipe.computed(profile, job.training, inside)
    return work
