"""Training to the end: schedule, validation, early stopping, and resume of interrupted training."""

from dataclasses import replace

from graftline.models.checkpoint import EpochRecord
from graftline.runtime.errors import DivergedError
from graftline.training.batches.samples import Samples, batch_bounds
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.loop import TrainingLoop
from graftline.training.loop.loop_state import network_state
from graftline.training.loop.monitored import MonitoredLoop, detached_copy
from graftline.training.loop.schedule import lr_factor
from graftline.training.resume.journal import Journal, JournalEntry


def fit(
    loop: TrainingLoop,
    train: Samples,
    val: Samples | None,
    epochs: int,
    *,
    journal: Journal | None = None,
    max_examples: int | None = None,
) -> list[EpochRecord]:
    """Trains for a number of epochs by the configured schedule, resuming from the journal if it has a state.

    Args:
        loop: A new loop; its stage names the journal entry. Its `is_finished` says afterwards whether it is complete.
        train: Training samples, at least one.
        val: Validation samples, evaluated after each epoch. With `training.patience`, training stops when they no
            longer improve, and the best weights are kept. None or empty: no validation.
        epochs: Number of epochs.
        journal: Saves the state.
        max_examples: Number of images seen after which training pauses, at the end of an epoch; the schedule remains
            that of all epochs.

    Raises:
        DivergedError: In the first epoch. Later, the weights of the last good epoch are kept and `loop.diverged`
            gives the reason.

    Returns:
        The learning curve, one point per epoch. The network has the final weights: the best by validation, the
        averaged ones, or those of the last step.
    """
    journal, name, patience = journal or Journal(), loop.stage or "training", loop.training.patience
    monitored = MonitoredLoop(loop, EarlyStopping(patience or 0))
    if (saved := journal.get(name)) is not None:
        monitored.restore(saved)
        if saved.done:
            loop.is_finished, loop.diverged = True, saved.values["diverged"]
            return monitored.history
    steps_per_epoch = 1 if loop.training.optimizer == "gd" else len(batch_bounds(len(train), loop.training.batch_size))
    while (loop.epochs < epochs or loop.batches_done) and not (patience and monitored.early_stopping.should_stop):
        if max_examples is not None and loop.examples_seen >= max_examples and not loop.batches_done:
            if journal.is_enabled:
                journal.put(name, detached_copy(monitored.to_entry()))
            monitored.load_final_weights()
            return monitored.history
        try:
            loss = loop.epoch(
                train,
                lambda step: lr_factor(step, epochs * steps_per_epoch, loop.training.schedule),
                lambda: journal.save_if_due(name, monitored.to_entry),
            )
        except DivergedError as error:
            if not monitored.history:
                raise
            monitored.best, loop.diverged = monitored.best or monitored.last_good, str(error)
            break
        point = loop.record(loss, val)
        monitored.history.append(point)
        if patience and point.val_score is not None and point.val_loss is not None:
            monitored.update(point.val_score, point.val_loss, may_reduce_lr=False)
        else:
            monitored.keep_last_good()
        journal.save_if_due(name, monitored.to_entry)
    monitored.load_final_weights()
    loop.is_finished = True
    if journal.is_enabled:
        journal.put(name, _final_entry(monitored))
    return monitored.history


def _final_entry(monitored: MonitoredLoop) -> JournalEntry:
    entry, loop = monitored.to_entry(), monitored.loop
    values = {**entry.values, "diverged": loop.diverged}
    return replace(entry, values=values, tensors=network_state(loop.network), done=True)
