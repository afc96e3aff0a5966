"""A loop with what validation has found so far, as one state."""

from dataclasses import dataclass, field, replace

from graftline.models.checkpoint import EpochRecord
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.loop import TrainingLoop
from graftline.training.loop.loop_state import restore, state_of
from graftline.training.resume.journal import JournalEntry, State

_BEST, _GOOD = "best.", "good."


@dataclass
class MonitoredLoop:
    """A loop, its learning curve, its patience, and the weights that validation liked best."""

    loop: TrainingLoop
    plateau: EarlyStopping
    history: list[EpochRecord] = field(default_factory=list)
    best: State = field(default_factory=dict)
    good: State = field(default_factory=dict)
    """Those after the last whole epoch, where validation does not choose."""

    def look(self, score: float, loss: float, *, may_decay: bool) -> None:
        """Counts one look at validation; keeps the weights, averaged where they are, if they are the best so far."""
        if self.plateau.look(score, loss, may_decay=may_decay):
            self.best = self._kept()

    def hold(self) -> None:
        """Keeps the weights in case that the next epoch ruins them."""
        self.good = self._kept()

    def cell(self) -> JournalEntry:
        """Returns the state, its tensors live."""
        cell = state_of(self.loop, history=[point.model_dump() for point in self.history], plateau=vars(self.plateau))
        return replace(
            cell,
            tensors=cell.tensors
            | {_BEST + key: value for key, value in self.best.items()}
            | {_GOOD + key: value for key, value in self.good.items()},
        )

    def go_on(self, cell: JournalEntry) -> None:
        """Puts all of it where a cell says that it was; inside of the same `seeded` as then, for it draws on."""
        self.history = [EpochRecord.model_validate(point) for point in cell.values["history"]]
        self.plateau = EarlyStopping(**cell.values["plateau"])
        restore(self.loop, cell)
        self.best = {k.removeprefix(_BEST): v for k, v in cell.tensors.items() if k.startswith(_BEST)}
        self.good = {k.removeprefix(_GOOD): v for k, v in cell.tensors.items() if k.startswith(_GOOD)}

    def settle(self) -> None:
        """Puts the weights that are kept into the network: the best, else the averaged ones, else the last."""
        if self.best:
            self.loop.network.load_state_dict(self.best)
        elif self.loop.average is not None:
            self.loop.average.put()

    def _kept(self) -> State:
        with self.loop.averaged():
            return {key: value.clone() for key, value in self.loop.network.state_dict().items()}


def still(cell: JournalEntry) -> JournalEntry:
    """Returns a cell with copies, which later steps do not change."""
    return replace(cell, tensors={key: value.detach().clone() for key, value in cell.tensors.items()})
