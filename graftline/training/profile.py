"""How a strategy trains, as far as its recipe and its cost depend on it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainingProfile:
    """What a recipe needs to know about a strategy; the defaults describe a training of the whole network."""

    name: str = ""
    """The strategy's name, for messages."""
    trains: Literal["network", "head", "nothing"] = "network"
    """`head`: only a head on the features of the frozen backbone."""
    uses_features: bool = False
    """Whether a head is fitted on the cached features of the frozen backbone, alone or before training the network."""
    views: int = 1
    """Views of each training image whose features are cached."""
    passes_per_epoch: int = 1
    """Passes through trained networks for each epoch of the recipe."""
    is_random: bool = False
    """Whether the trained network starts from random weights."""
    has_own_penalty: bool = False
    """Whether its penalty replaces the optimizer's weight decay."""
    has_own_loss: bool = False
    """Whether its loss takes no class weights."""

    @property
    def feature_passes(self) -> int:
        """Passes of all images through the frozen backbone; a head's passes over cached features take no time."""
        return self.views if self.uses_features else 0
