"""`cotuning`: all layers and the source's head are trained, the source's classes as soft targets (You et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import NotNegative, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from torch import Tensor

    from graftline.training.interface import StrategyInput, StrategyResult
    from graftline.training.loop.stepper import Batch


class CoTuning(StrategyOptions):
    """All layers and the source's head trained, with the source's classes as additional soft targets."""

    name: Literal["cotuning"] = "cotuning"
    strength: NotNegative = 2.3
    """Weight of the loss on the source's head."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Adds to the loss the source head's cross entropy with p(source class | target class), learned beforehand.

    The source's head takes the same features as the new one, trains at the rate of transferred layers, and is dropped
    at the end.

    Raises:
        NotApplicableError: The source has no trained head, or one that takes other features.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from torch.nn import functional

    from graftline.evaluation.torch_functions import soft
    from graftline.strategies.methods.class_relation import describe_relation, learn_relation, source_head
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_groups
    from graftline.training.interface import NotApplicableError
    from graftline.training.loop.freezing import trained_parameters
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(CoTuning)
    head = source_head(inputs)
    start = carried(inputs, head=True)
    if start.network.feature_size != inputs.start.network.feature_size:
        raise NotApplicableError(
            f"the source's head takes {inputs.start.network.feature_size} features, the pooled ones "
            f"are {start.network.feature_size}"
        )
    shares = inputs.journal.get_or_create("relation", lambda: {"shares": learn_relation(inputs)})["shares"].to(
        inputs.device
    )
    network = start.network
    network.add_module("source_head", head)
    rate = rates(inputs.training)
    groups = [
        parameter_group([network.head], rate.carried if start.head else rate.new),
        parameter_group([network.backbone, head], rate.carried),
    ]

    def penalty(batch: Batch) -> Tensor:
        wanted = soft(batch.labels, len(inputs.classes)).to(shares) @ shares
        return options.strength * functional.cross_entropy(head(batch.features), wanted)

    _, trained = train_groups(inputs, network, start.contract, groups, penalties=[penalty])
    del network.source_head
    network.eval()
    trained = replace(trained, trained_parameters=trained_parameters(network))
    return start.result(trained, describe_relation(inputs, shares))


STRATEGY = Strategy(
    CoTuning,
    train,
    TrainingProfile(has_own_loss=True),
    needs_source_head=True,
    tasks=("classification",),
    variants=(TournamentVariant(14, "the source's classes as additional soft targets (You et al. 2020)"),),
)
