"""`l2sp`: every layer is trained, with a penalty on the distance to the source's weights (L2-SP, Li et al. 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import NotNegative, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class L2SP(StrategyOptions):
    """All layers trained, with a penalty on the distance to the source's weights."""

    name: Literal["l2sp"] = "l2sp"
    alpha: NotNegative = 0.01
    """Factor alpha of alpha/2 |w - w_source|^2 over the transferred weights."""
    beta: NotNegative = 0.01
    """Factor beta of beta/2 |w|^2 over the head."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers without the optimizer's weight decay: the penalty is all the decay there is.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from graftline.models.devices import place
    from graftline.strategies.methods.anchoring import distance_to_source
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all

    options = inputs.asked(L2SP)
    start = carried(inputs, head=True)
    place(start.network, inputs.device)
    penalty = distance_to_source(start.network, start.transferred.carried, options.alpha, options.beta)
    return train_all(inputs, start, penalties=[penalty], decay=False)


STRATEGY = Strategy(
    L2SP,
    train,
    TrainingProfile(has_own_penalty=True),
    variants=(
        TournamentVariant(5, "near the source's weights, for few labels (Li et al. 2018)"),
        TournamentVariant(12, "the penalty allows larger steps", rate_factor=3.0),
    ),
)
