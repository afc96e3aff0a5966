"""`delta`: every layer is trained, with a penalty on the distance to the source's feature maps (DELTA, Li et al. 2019).

A channel is weighted by how much the source network's loss on training images rises when it is zeroed. Weights and
distances are those of the authors' code, except that it sums over a batch's images where this takes their mean: its
strength of 0.01 at 48 images a batch is 0.48 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import NotNegative, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Delta(StrategyOptions):
    """All layers trained, with a penalty on the distance to the source's feature maps, channel by channel."""

    name: Literal["delta"] = "delta"
    strength: NotNegative = 0.01
    """Weight of the distance between feature maps."""
    beta: NotNegative = 0.01
    """Factor beta of beta/2 |w|^2 over the head."""
    layers: list[str] | None = None
    """Names of the backbone's layers whose maps are compared; by default four, spread over its depth."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Weights the channels, then trains all layers with a frozen copy of the source's backbone as reference.

    The optimizer's weight decay is off: the penalties are all the decay there is, as in the authors' code.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer.
        DivergedError: The loss diverged.
    """
    import copy

    from graftline.models.devices import place
    from graftline.strategies.methods.channels import channel_weights, tapped
    from graftline.strategies.methods.feature_maps import compared_layers, map_distance
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_all
    from graftline.training.batches.losses import squared_norm
    from graftline.training.loop.freezing import freeze

    options = inputs.asked(Delta)
    start = carried(inputs, head=True)
    names = compared_layers([name for name, _ in start.layers], options.layers)
    place(start.network, inputs.device)
    source = copy.deepcopy(start.network).eval()
    freeze([source])
    kept = inputs.journal.get_or_create("channel weights", lambda: channel_weights(inputs, names))
    weights = {name: kept[name].to(inputs.device) for name in names}
    head = list(start.network.head.parameters())
    with tapped(start.network, names) as own, tapped(source, names) as theirs:
        distance = map_distance(source, own, theirs, weights)
        trained = train_all(
            inputs,
            start,
            decay=False,
            penalties=[lambda batch: options.strength * distance(batch) + options.beta / 2 * squared_norm(head)],
        )
    trained.notes.append(f"feature maps compared after {', '.join(names)}")
    return trained


STRATEGY = Strategy(
    Delta,
    train,
    TrainingProfile(has_own_penalty=True),
    variants=(
        TournamentVariant(18, "feature maps near the source's: good with few labels, but slow (Li et al. 2019)"),
    ),
)
