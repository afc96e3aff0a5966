"""Early stopping: reduces the learning rate when validation stops improving, then stops training."""

from dataclasses import dataclass

MIN_LOSS_DECREASE = 0.01
"""Decrease of the validation loss that counts as an improvement at an equal score; without it, training may never end.
"""
LR_DECAY = 0.3
"""Factor applied to the learning rate after half of the patience."""


@dataclass
class EarlyStopping:
    """Counts evaluations without improvement.

    Attributes:
        patience: Evaluations without improvement after which training stops.
        score: Best score so far.
        loss: Loss at the best score.
        num_bad_epochs: Evaluations since the best one.
        lr_factor: Factor on the peak learning rate.
    """

    patience: int
    score: float = float("-inf")
    loss: float = float("inf")
    num_bad_epochs: int = 0
    lr_factor: float = 1.0
    _num_bad_since_decay: int = 0

    def update(self, score: float, loss: float, *, may_reduce_lr: bool) -> bool:
        """Records one evaluation.

        Args:
            score: Validation score; higher is better.
            loss: Validation loss; breaks ties.
            may_reduce_lr: Whether the learning rate may be reduced yet.

        Returns:
            Whether this evaluation is the best so far.
        """
        if score > self.score or (score == self.score and loss < self.loss - MIN_LOSS_DECREASE):
            self.score, self.loss, self.num_bad_epochs, self._num_bad_since_decay = score, loss, 0, 0
            return True
        self.num_bad_epochs += 1
        self._num_bad_since_decay += 1
        if may_reduce_lr and self._num_bad_since_decay >= max(1, self.patience // 2):
            self.lr_factor *= LR_DECAY
            self._num_bad_since_decay = 0
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience is exhausted."""
        return self.num_bad_epochs >= self.patience
