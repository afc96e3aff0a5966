"""A loop from its first epoch to its last: schedule, looks at validation, early stopping, and going on after a kill."""

from dataclasses import replace

from graftline.models.checkpoint import EpochRecord
from graftline.runtime.errors import DivergedError
from graftline.training.batches.samples import Samples, cut
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.loop import TrainingLoop
from graftline.training.loop.loop_state import network_state
from graftline.training.loop.monitored import MonitoredLoop, still
from graftline.training.loop.schedule import factor
from graftline.training.resume.journal import Journal


def fit(
    loop: TrainingLoop,
    train: Samples,
    val: Samples | None,
    epochs: int,
    *,
    journal: Journal | None = None,
    most: int | None = None,
) -> list[EpochRecord]:
    """Trains for a number of epochs by the configured schedule; goes on where a journal says that it was.

    Args:
        loop: A fresh one; its stage is its name in the journal. Its `over` says afterwards whether it came to its end.
        train: What to train on, at least one image.
        val: Looked at after each epoch; with `training.patience`, the best weights by it are kept, and training stops
            when they get no better. None or empty: not at all.
        epochs: Passes.
        journal: Keeps the state.
        most: Presentations after which to pause, at an epoch's end; the schedule stays that of all epochs.

    Raises:
        DivergedError: In the first epoch. Later, the weights of the last good epoch are kept and `loop.diverged` says
            why it stopped.

    Returns:
        The learning curve, one point an epoch. The network has the weights that are kept: the best by validation, the
        averaged ones, or those of the last step.
    """
    journal, part, patience = journal or Journal(), loop.stage or "training", loop.training.patience
    watched = MonitoredLoop(loop, EarlyStopping(patience or 0))
    if (kept := journal.get(part)) is not None:
        watched.go_on(kept)
        if kept.done:
            loop.over, loop.diverged = True, kept.values["diverged"]
            return watched.history
    steps = epochs * (1 if loop.training.optimizer == "gd" else len(cut(len(train), loop.training.batch_size)))
    while (loop.epochs < epochs or loop.batches) and not (patience and watched.plateau.exhausted):
        if most is not None and loop.shown >= most and not loop.batches:
            if journal.keeps:
                journal.put(part, still(watched.cell()))
            watched.settle()
            return watched.history
        try:
            loss = loop.epoch(
                train,
                lambda step: factor(step, steps, loop.training.schedule),
                lambda: journal.tick(part, watched.cell),
            )
        except DivergedError as error:
            if not watched.history:
                raise
            watched.best, loop.diverged = watched.best or watched.good, str(error)  # the present ones are ruined
            break
        point = loop.record(loss, val)
        watched.history.append(point)
        if patience and point.val_score is not None and point.val_loss is not None:
            watched.look(point.val_score, point.val_loss, may_decay=False)
        else:
            watched.hold()
        journal.tick(part, watched.cell)
    watched.settle()
    loop.over = True
    if journal.keeps:
        journal.put(
            part,
            replace(
                watched.cell(),
                tensors=network_state(loop.network),
                done=True,
                values={**watched.cell().values, "diverged": loop.diverged},
            ),
        )
    return watched.history
