"""`bss`: every layer is trained, with a penalty on the smallest singular values of a batch's features.

Directions with small singular values hold what does not transfer (batch spectral shrinkage, Chen et al. 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import Count, NotNegative, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class BSS(StrategyOptions):
    """All layers trained, with a penalty on the smallest singular values of a batch's features."""

    name: Literal["bss"] = "bss"
    eta: NotNegative = 0.001
    """Weight of the penalty."""
    k: Count = 1
    """Number of the smallest singular values in the penalty."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers; each batch's spectrum is that of the images that go through the network at once.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from graftline.strategies.methods.shrinkage import shrinkage
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all

    options = inputs.asked(BSS)
    eta, k = options.eta, options.k
    return train_all(inputs, carried(inputs, head=True), penalties=[lambda batch: eta * shrinkage(batch.features, k)])


STRATEGY = Strategy(
    BSS,
    train,
    variants=(
        TournamentVariant(10, "no small singular values in the features, against negative transfer (Chen et al. 2019)"),
    ),
)
