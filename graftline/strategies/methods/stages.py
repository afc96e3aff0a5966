"""Training in stages that unfreeze groups of layers from the top."""

import numpy as np
from torch import nn

from graftline.models.checkpoint import EpochRecord
from graftline.models.devices import seeded
from graftline.strategies.weights.carry import Carried
from graftline.strategies.weights.features import FeatureHead
from graftline.strategies.weights.fitting import onward
from graftline.training.interface import StrategyInput
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import freeze, thaw
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import ParameterGroup, parameter_group
from graftline.training.recipe import rates


def layers_from_top(modules: list[nn.Module], stages: int) -> list[list[nn.Module]]:
    """Splits the layers into groups of nearly equal size, the top group first."""
    cuts = np.array_split(np.arange(len(modules)), min(stages, len(modules)))
    return [[modules[place] for place in places] for places in reversed(cuts)]


def thaw_by_stages(
    inputs: StrategyInput, found: FeatureHead, groups: list[list[nn.Module]], decay: float
) -> tuple[list[EpochRecord], int, TrainingLoop]:
    """Trains in stages, each of which unfreezes one more group of layers.

    Args:
        inputs: Input of the strategy.
        found: Network with a fitted head, changed in place.
        groups: Groups of layers, the top one first.
        decay: Factor on the learning rate from each group to the next lower one.

    Returns:
        The learning curve, the number of training images seen and the loop of the last stage.
    """
    start: Carried = found.start
    history, shown = list(found.fitted.history), found.fitted.iterations * len(inputs.train)
    head = shown  # a pause counts only images that pass through the network, so that rungs are comparable
    rate = rates(inputs.training).carried
    epochs = [len(part) for part in np.array_split(np.arange(inputs.training.epochs or 1), len(groups))]
    freeze([start.network.backbone])
    for number, passes in enumerate(epochs, start=1):
        thaw(groups[number - 1])
        trained: list[ParameterGroup] = [parameter_group([start.network.head], rate)]
        trained += [parameter_group(modules, rate * decay**depth) for depth, modules in enumerate(groups[:number])]
        loop = TrainingLoop(
            start.network,
            trained,
            inputs.training,
            start.contract,
            TrainingStage(inputs.seed + number, inputs.device, inputs.progress, f"stage {number}"),
        )
        with seeded(inputs.seed, f"stage {number}"):
            points = fit(
                loop,
                inputs.train,
                inputs.val,
                passes,
                journal=inputs.journal,
                max_examples=None if inputs.until is None else inputs.until - (shown - head),
            )
        seconds = history[-1].seconds
        history += onward(points, shown, seconds)
        shown += loop.examples_seen
        if loop.diverged or not loop.is_finished:
            break
    return history, shown, loop
