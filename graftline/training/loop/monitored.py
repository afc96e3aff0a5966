"""A training loop with its learning curve, early stopping and best weights."""

from dataclasses import dataclass, field, replace

from graftline.models.checkpoint import EpochRecord
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.loop import TrainingLoop
from graftline.training.loop.loop_state import capture_state, restore_state
from graftline.training.resume.journal import JournalEntry, State

_BEST, _LAST_GOOD = "best.", "good."


@dataclass
class MonitoredLoop:
    """A loop, its learning curve, early stopping, and the best weights by validation."""

    loop: TrainingLoop
    early_stopping: EarlyStopping
    history: list[EpochRecord] = field(default_factory=list)
    best: State = field(default_factory=dict)
    last_good: State = field(default_factory=dict)
    """Weights after the last completed epoch, if validation does not choose the best ones."""

    def update(self, score: float, loss: float, *, may_reduce_lr: bool) -> None:
        """Records an evaluation, and keeps the (averaged) weights if they are the best so far."""
        if self.early_stopping.update(score, loss, may_reduce_lr=may_reduce_lr):
            self.best = self._copy_weights()

    def keep_last_good(self) -> None:
        """Keeps the weights in case the next epoch diverges."""
        self.last_good = self._copy_weights()

    def to_entry(self) -> JournalEntry:
        """Returns the state; its tensors are live."""
        entry = capture_state(
            self.loop,
            history=[point.model_dump() for point in self.history],
            early_stopping=vars(self.early_stopping),
        )
        return replace(
            entry,
            tensors=entry.tensors
            | {_BEST + key: value for key, value in self.best.items()}
            | {_LAST_GOOD + key: value for key, value in self.last_good.items()},
        )

    def restore(self, entry: JournalEntry) -> None:
        """Restores a state from `to_entry`.

        Call it inside the same `seeded` context as the original training: it sets the global random state.
        """
        self.history = [EpochRecord.model_validate(point) for point in entry.values["history"]]
        self.early_stopping = EarlyStopping(**entry.values["early_stopping"])
        restore_state(self.loop, entry)
        self.best = {k.removeprefix(_BEST): v for k, v in entry.tensors.items() if k.startswith(_BEST)}
        self.last_good = {k.removeprefix(_LAST_GOOD): v for k, v in entry.tensors.items() if k.startswith(_LAST_GOOD)}

    def load_final_weights(self) -> None:
        """Loads the final weights into the network: the best ones, else the averaged ones, else the last ones."""
        if self.best:
            self.loop.network.load_state_dict(self.best)
        elif self.loop.average is not None:
            self.loop.average.copy_to_network()

    def _copy_weights(self) -> State:
        with self.loop.averaged():
            return {key: value.clone() for key, value in self.loop.network.state_dict().items()}


def detached_copy(entry: JournalEntry) -> JournalEntry:
    """Returns an entry with copies of the tensors, which later steps do not change."""
    return replace(entry, tensors={key: value.detach().clone() for key, value in entry.tensors.items()})
