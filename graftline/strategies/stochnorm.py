"""`stochnorm`: every layer is trained, batch norm uses batch or running statistics at random (Kou et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import Fraction, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class StochNorm(StrategyOptions):
    """All layers trained, batch norm using batch or running statistics at random, channel by channel."""

    name: Literal["stochnorm"] = "stochnorm"
    probability: Fraction = 0.5
    """Probability that a channel uses the running statistics."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains all layers with stochastic norms, which become plain batch norms again at the end.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The backbone has no batch norm.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from graftline.runtime.errors import RefusedError
    from graftline.strategies.methods.stochastic_norm import batch_norms, stochastic
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all

    options = inputs.asked(StochNorm)
    start = carried(inputs, head=True)
    norms = batch_norms(start.network.backbone)
    if not norms:
        raise RefusedError(
            f"strategies.stochnorm: {inputs.start.manifest.backbone} has no plain batch norm; expected a "
            "backbone with some; use l2sp, delta or bss, which serve every backbone"
        )
    with stochastic(start.network.backbone, options.probability):
        trained = train_all(inputs, start)
    return replace(trained, notes=[*trained.notes, f"{len(norms)} batch norms, stochastic during training"])


STRATEGY = Strategy(
    StochNorm,
    train,
    needs_batch_norm=True,
    variants=(
        TournamentVariant(15, "a batch norm that uses the source's statistics half of the time (Kou et al. 2020)"),
    ),
)
