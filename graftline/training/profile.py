"""Properties of a strategy that determine its recipe and its cost."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingProfile:
    """Properties of a strategy used by recipes; the defaults describe training of the entire network."""

    name: str = ""
    """Name of the strategy, for messages."""
    trains: Literal["network", "head", "nothing"] = "network"
    """The trained part; `head` is a head on the features of the frozen backbone."""
    uses_features: bool = False
    """Whether a head is fitted on the cached features of the frozen backbone, alone or before training the network."""
    views: int = 1
    """Number of views of each training image whose features are cached."""
    passes_per_epoch: int = 1
    """Number of passes through trained networks for each epoch of the recipe."""
    is_random: bool = False
    """Whether the trained network starts from random weights."""
    has_own_penalty: bool = False
    """Whether the strategy's penalty replaces the optimizer's weight decay."""
    has_own_loss: bool = False
    """Whether the strategy has its own loss, which does not support class weights."""

    @property
    def feature_passes(self) -> int:
        """Number of passes of all images through the frozen backbone; passes over cached features are negligible."""
        return self.views if self.uses_features else 0
