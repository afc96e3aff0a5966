"""`full`: every layer is transferred and trained, the articles' complete parameter transfer (Yosinski et al. 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Full(StrategyOptions):
    """Every layer transferred and trained."""

    name: Literal["full"] = "full"


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers, the transferred ones at a lower rate than a new head.

    The head is transferred too if each target class has a source class of the same name.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all

    return train_all(inputs, carried(inputs, head=True))


STRATEGY = Strategy(
    Full,
    train,
    variants=(
        TournamentVariant(3, "the plain fine-tuning that the others have to beat"),
        TournamentVariant(6, "a distant source needs larger steps", rate_factor=3.0),
        TournamentVariant(7, "a similar source needs smaller steps (Li et al. 2020)", rate_factor=1 / 3),
        TournamentVariant(8, "finer feature maps of the same images (Touvron et al. 2019)", zoom=4 / 3),
        TournamentVariant(16, "an early end of the schedule, where long training forgets the source", is_short=True),
        TournamentVariant(17, "fewer pixels cost less time, to train and to serve", zoom=2 / 3),
    ),
)
