"""When a training has stopped improving: lower the rate, then stop."""

from dataclasses import dataclass

LEAST = 0.01
"""Fall of the loss that counts as better where the score stands still: less may go on for ever."""
DECAY = 0.3
"""Factor on the rate after half of the patience."""


@dataclass
class EarlyStopping:
    """Looks at validation, counted.

    Attributes:
        since: Looks since the best one.
        factor: On the peak rate.
    """

    patience: int
    score: float = float("-inf")
    loss: float = float("inf")
    since: int = 0
    factor: float = 1.0
    _since_decay: int = 0

    def look(self, score: float, loss: float, *, may_decay: bool) -> bool:
        """Counts one look.

        Args:
            score: Higher is better.
            loss: Breaks ties.
            may_decay: Whether the rate may fall yet.

        Returns:
            Whether this is the best so far.
        """
        better = score > self.score or (score == self.score and loss < self.loss - LEAST)
        if better:
            self.score, self.loss, self.since, self._since_decay = score, loss, 0, 0
            return True
        self.since += 1
        self._since_decay += 1
        if may_decay and self._since_decay >= max(1, self.patience // 2):
            self.factor *= DECAY
            self._since_decay = 0
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.since >= self.patience
