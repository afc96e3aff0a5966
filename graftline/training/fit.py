"""A loop from its first epoch to its last: schedule, looks at validation, early stopping, and going on after a kill."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from graftline.checkpoint import Epoch
from graftline.training.batches import Samples, cut
from graftline.training.journal import Cell, Journal, State
from graftline.training.loop import Loop
from graftline.training.loop_state import network_state, restore, state_of
from graftline.training.plateau import Plateau
from graftline.training.schedule import factor

_BEST = "best."


class _Course:
    """One `fit`: what it has found so far, and how to say it to a journal."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.history, self.best = loop, list[Epoch](), State()
        self.plateau = Plateau(loop.training.patience or 0)

    def look(self, point: Epoch) -> None:
        """Adds a point to the curve; keeps the weights if they are the best by validation."""
        self.history.append(point)
        if not self.loop.training.patience or point.val_score is None or point.val_loss is None:
            return
        if self.plateau.look(point.val_score, point.val_loss, may_decay=False):
            with self.loop.averaged():
                self.best = copied(self.loop.network.state_dict())

    @property
    def stopped(self) -> bool:
        """Whether validation has not become better for long enough."""
        return bool(self.loop.training.patience) and self.plateau.exhausted

    def cell(self) -> Cell:
        """Returns the state, with live tensors."""
        cell = state_of(self.loop, history=[point.model_dump() for point in self.history], plateau=vars(self.plateau))
        return replace(cell, tensors=cell.tensors | {_BEST + key: value for key, value in self.best.items()})

    def go_on(self, cell: Cell) -> None:
        """Puts loop and course where a cell says that they were."""
        self.history = [Epoch.model_validate(point) for point in cell.values["history"]]
        self.plateau = Plateau(**cell.values["plateau"])
        restore(self.loop, cell)
        if not cell.done:
            self.best = {k.removeprefix(_BEST): v for k, v in cell.tensors.items() if k.startswith(_BEST)}

    def settle(self) -> None:
        """Puts the weights that are kept into the network."""
        if self.best:
            self.loop.network.load_state_dict(self.best)
        elif self.loop.average is not None:
            self.loop.average.put()


def fit(loop: Loop, train: Samples, val: Samples | None, epochs: int, *, journal: Journal | None = None,
        most: int | None = None) -> list[Epoch]:
    """Trains for a number of epochs by the configured schedule; goes on where a journal says that it was.

    Args:
        loop: A fresh one; its stage is its name in the journal. Its `over` says afterwards whether it came to its end.
        train: What to train on, at least one image.
        val: Looked at after each epoch; with `training.patience`, the best weights by it are kept, and training stops
            when they get no better. None or empty: not at all.
        epochs: Passes.
        journal: Keeps the state.
        most: Presentations after which to pause, at an epoch's end; the schedule stays that of all epochs.

    Returns:
        The learning curve, one point an epoch. The network has the weights that are kept: the best by validation, the
        averaged ones, or those of the last step.
    """
    journal, part, course = journal or Journal(), loop.stage or "training", _Course(loop)
    found = journal.get(part)
    if found is not None:
        course.go_on(found)
        if found.done:
            loop.over = True
            return course.history
    steps = epochs * (1 if loop.training.optimizer == "gd" else len(cut(len(train), loop.training.batch_size)))
    while not course.stopped and (loop.epochs < epochs or loop.batches):
        if most is not None and loop.shown >= most and not loop.batches:
            if journal.keeps:
                journal.put(part, replace(course.cell(), tensors=copied(course.cell().tensors)))
            course.settle()
            return course.history
        loss = loop.epoch(train, lambda step: factor(step, steps, loop.training.schedule),
                          lambda: journal.tick(part, course.cell))
        course.look(loop.record(loss, val))
        journal.tick(part, course.cell)
    course.settle()
    loop.over = True
    if journal.keeps:
        journal.put(part, replace(course.cell(), tensors=copied(network_state(loop.network)), done=True))
    return course.history


def copied(tensors: Mapping[str, Tensor]) -> State:
    """Returns copies that later steps do not change."""
    return {key: value.detach().clone() for key, value in tensors.items()}
