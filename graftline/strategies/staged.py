"""`staged`: the head to convergence first, then the backbone's layers from the top, at decayed rates.

Linear probing before fine-tuning keeps the first steps from distorting the features (LP-FT, Kumar et al. 2022); the
layers join from the top, lower ones at lower rates (ULMFiT, Howard and Ruder 2018).
"""

import numpy as np
from torch import nn

from graftline.config import Staged
from graftline.models.checkpoint import EpochRecord
from graftline.models.devices import seeded
from graftline.strategies.feature import OnFeatures, converged_head
from graftline.strategies.weights.carry import Carried, onward
from graftline.training.contract import StrategyInput, StrategyResult, predictor
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import freeze, thaw, trained_parameters
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import ParameterGroup, parameter_group
from graftline.training.recipe import head_iterations, rates


def train(task: StrategyInput) -> StrategyResult:
    """Fits the head, then thaws one group of layers a stage; each stage has its share of the epochs.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    options = task.asked(Staged)
    found = converged_head(task, head_iterations(len(task.train)))
    start, source = found.start, task.start.manifest
    stages = min(options.stages, task.training.epochs or 1)  # each has an epoch, so that every layer joins
    groups = _from_top([module for _, module in start.layers], stages)
    history, examples_seen, last = _thaw_by_stages(task, found, groups, options.decay)
    sizes = ", ".join(str(len(modules)) for modules in groups)
    return StrategyResult(
        start.network,
        start.contract,
        source.small,
        task.head,
        predictor(start.network, start.contract, task.device),
        architecture=source.architecture,
        history=history,
        examples_seen=examples_seen,
        trained_parameters=trained_parameters(start.network),
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[found.fitted.note, f"layers that joined, stage by stage: {sizes}"],
        learning_rate=rates(task.training).carried,
        over=last.is_finished,
        diverged=last.diverged,
        numerics=last.stepper.note,
    )


def _from_top(modules: list[nn.Module], stages: int) -> list[list[nn.Module]]:
    """Cuts the layers into as equal groups as can be, the top one first."""
    cuts = np.array_split(np.arange(len(modules)), min(stages, len(modules)))
    return [[modules[place] for place in places] for places in reversed(cuts)]


def _thaw_by_stages(
    task: StrategyInput, found: OnFeatures, groups: list[list[nn.Module]], decay: float
) -> tuple[list[EpochRecord], int, TrainingLoop]:
    start: Carried = found.start
    history, examples_seen = list(found.fitted.history), found.fitted.iterations * len(task.train)
    head = examples_seen  # a pause counts what goes through the network, so that rungs compare like with like
    rate = rates(task.training).carried
    epochs = [len(part) for part in np.array_split(np.arange(task.training.epochs or 1), len(groups))]
    freeze([start.network.backbone])
    for number, passes in enumerate(epochs, start=1):
        thaw(groups[number - 1])
        trained: list[ParameterGroup] = [parameter_group([start.network.head], rate)]
        trained += [parameter_group(modules, rate * decay**depth) for depth, modules in enumerate(groups[:number])]
        loop = TrainingLoop(
            start.network,
            trained,
            task.training,
            start.contract,
            TrainingStage(task.seed + number, task.device, task.progress, f"stage {number}"),
        )
        with seeded(task.seed, f"stage {number}"):
            points = fit(
                loop,
                task.train,
                task.val,
                passes,
                journal=task.journal,
                max_examples=None if task.until is None else task.until - (examples_seen - head),
            )
        seconds = history[-1].seconds
        history += onward(points, examples_seen, seconds)
        examples_seen += loop.examples_seen
        if loop.diverged or not loop.is_finished:
            break
    return history, examples_seen, loop
