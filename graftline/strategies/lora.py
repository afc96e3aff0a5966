"""`lora`: frozen weights, low-rank changes to linear layers and 1x1 convolutions (Hu et al. 2022), merged at the end.

A change is B A x alpha / rank, with B zero at first, so that training starts from the source's network. Depthwise
convolutions are left alone: there a change of rank 1 has more numbers than the layer itself. Biases, norm layers and
their running statistics stay bit for bit the source's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import Count, Positive, StrategyOptions
from graftline.strategies.record import Strategy

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Lora(StrategyOptions):
    """Low-rank changes to linear layers and 1x1 convolutions, merged at the end; needs graftline[lora]."""

    name: Literal["lora"] = "lora"
    rank: Count = 8
    """Rank of each change."""
    alpha: Positive = 16.0
    """Each change is multiplied by alpha / rank."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains the changes, at the rate of new layers, and the whole head; the result is the plain network.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: peft is not installed, or the backbone has no layer that can take a change.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from graftline.models.devices import seeded
    from graftline.runtime.errors import RefusedError
    from graftline.strategies.methods.adapters import ADAPTER, adaptable, insert_adapters, merge_adapters
    from graftline.strategies.weights.carry import carried
    from graftline.strategies.weights.fitting import train_groups
    from graftline.training.interface import predictor
    from graftline.training.loop.freezing import trained_parameters
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(Lora)
    start = carried(inputs, head=True)
    network = start.network
    names = adaptable(network, start.contract)
    if not names:
        raise RefusedError(
            f"strategies.lora: the backbone of {inputs.start.manifest.backbone} has no linear layer and no 1x1 "
            "convolution; expected one that has, such as mlp, mobilenet_v2 or resnet50; use such a backbone, or a "
            "strategy that serves every backbone, such as full"
        )
    with seeded(inputs.seed, ADAPTER):
        insert_adapters(network, names, rank=options.rank, alpha=options.alpha)
    rate = rates(inputs.training)
    groups = [
        parameter_group([network.head], rate.carried if start.head else rate.new),
        parameter_group([network.backbone], rate.new),
    ]
    _, trained = train_groups(inputs, network, start.contract, groups)
    count = trained_parameters(network)
    merge_adapters(network)
    predict = predictor(network, start.contract, inputs.device)
    return start.result(
        replace(trained, predict=predict, trained_parameters=count),
        f"changes of rank {options.rank} to {len(names)} layers, merged; running statistics are the source's",
    )


STRATEGY = Strategy(
    Lora,
    train,
    needs_linear_layers=True,
    not_raced="needs an extra package and saves memory, not images",
)
