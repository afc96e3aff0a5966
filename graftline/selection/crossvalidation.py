"""Scores a training by repeated stratified k-fold cross-validation (Kohavi 1995)."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from graftline.runtime import events
from graftline.strategies.lookup import profile_of
from graftline.training import recipe
from graftline.training.batches.samples import Samples
from graftline.training.interface import StrategyInput, StrategyResult
from graftline.training.resume.journal import JournalEntry
from graftline.training.validation import FOLDS, REPEATS, Score, folds, score


@dataclass(frozen=True)
class Crossed:
    """Mean scores over all folds."""

    accuracy: float | None
    """Mean accuracy; None if the task has no accuracy."""
    main: float
    """Mean main metric."""
    se: float
    """Standard error of `main` over folds."""
    method: str
    """Description of the folds."""


def cross_validate(train: Callable[[StrategyInput], StrategyResult], task: StrategyInput, samples: Samples) -> Crossed:
    """Returns the scores of a strategy over 2 x 5 folds.

    Args:
        train: Strategy function.
        task: Input of the strategy; its own samples are not used.
        samples: Samples of the training and validation splits.

    Raises:
        DivergedError: The training of a fold diverged.
        ValueError: No class has two samples.
    """
    pairs = folds(samples.labels, task.seed, repeats=REPEATS)
    if not pairs:
        raise ValueError("no class with two samples to cross-validate on")
    found = []
    for number, (inside, held) in enumerate(pairs, start=1):
        name = task.progress.label = f"fold {number} of {len(pairs)}"
        if (kept := task.journal.get(name)) is not None and kept.done:
            found.append(Score(**kept.values))
            shown = recipe.computed(profile_of(task.options), task.training, len(inside)) if task.options else 0
            task.progress.advance(shown, events.GOES_ON)
            continue
        trained = train(
            replace(
                task, train=samples.subset(inside), val=samples.subset(np.arange(0)), journal=task.journal.scope(name)
            )
        )
        outside = samples.subset(held)
        found.append(score(trained.predict(outside), outside.labels, task.training.loss, task.objective))
        task.journal.discard(name)
        task.journal.put(name, JournalEntry(vars(found[-1]), done=True))
    task.progress.label = ""
    main = [each.main for each in found]
    accuracies = [each.accuracy for each in found if each.accuracy is not None]
    count = len(pairs) // REPEATS
    few = "" if count == FOLDS else " (a class has too few samples for 5)"
    return Crossed(
        accuracy=float(np.mean(accuracies)) if accuracies else None,
        main=float(np.mean(main)),
        se=float(np.std(main, ddof=1)) / math.sqrt(len(main)),
        method=f"{REPEATS} x {count}-fold over train + validation{few}",
    )
