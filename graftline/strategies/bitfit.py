"""`bitfit`: biases (Ben Zaken et al. 2022) or norm layers and a head are trained, all other weights are frozen.

Norm layers alone: Mudrakarta et al. 2019 (with a head, for transfer); Frankle et al. 2021.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class BitFit(StrategyOptions):
    """Frozen weights; biases, norm layers and the head trained."""

    name: Literal["bitfit"] = "bitfit"
    train: Literal["biases", "norms"] = "biases"
    """`biases`: all biases, including those of norm layers; `norms`: weights and biases of norm layers alone."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains the head and the backbone's biases, or its norm layers, at the rate of new layers, as the paper does.

    Running statistics of batch norm are fixed with `biases` and updated with `norms`.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The backbone has no such weights.
        DivergedError: The loss diverged.
    """
    from graftline.strategies.methods.thawing import thaw_only
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_groups
    from graftline.training.loop.freezing import trained_parameters
    from graftline.training.loop.optimizer import ParameterGroup, parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(BitFit)
    start = carried(inputs, head=True)
    network = start.network
    chosen = thaw_only(network, options.train, inputs.start.manifest.backbone)
    rate = rates(inputs.training)
    groups = [
        parameter_group([network.head], rate.carried if start.head else rate.new),
        ParameterGroup(chosen, rate.new),
    ]
    _, trained = train_groups(inputs, network, start.contract, groups)
    total = sum(weight.numel() for weight in network.parameters())
    return start.result(
        trained,
        f"{options.train} and head trained: {trained_parameters(network)} of {total} weights; batch norm's running "
        f"statistics, if any, were {'fixed' if options.train == 'biases' else 'updated'}",
    )


STRATEGY = Strategy(
    BitFit,
    train,
    variants=(
        TournamentVariant(13, "a few weights only, for very few labels (Ben Zaken et al. 2022)", rate_factor=3.0),
    ),
    examples=(BitFit(), BitFit(train="norms")),
)
