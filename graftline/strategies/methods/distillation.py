"""The student network and its loss against the teacher's outputs (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graftline.evaluation.tasks import TASKS
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.models.structure import structures
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import fresh
from graftline.training.batches.losses import loss_of
from graftline.training.interface import StrategyInput, StrategyResult
from graftline.training.loop.stepper import Batch, Criterion
from graftline.training.shape import Shape

if TYPE_CHECKING:
    from graftline.strategies.distill import Distill


def build_student(inputs: StrategyInput, options: Distill, shape: Shape) -> Network:
    """Builds the student network for the source's input contract.

    Raises:
        RefusedError: The network does not exist, cannot be made narrower, does not support the source's input, or is
            not smaller than the source's network.
    """
    source, contract = inputs.start.manifest.backbone, inputs.contract
    if options.student is None and "width" not in structures(source):
        raise RefusedError(
            f"strategies.distill: {source} cannot be made narrower; expected the name of a student, "
            "as in {distill: {student: mobilenet_v3_small}}"
        )
    try:
        student = fresh(replace(inputs, network=shape))
    except RefusedError as error:
        raise RefusedError(
            f"strategies.distill: no student for the source's input ({contract.channels} x "
            f"{contract.height} x {contract.width}): {error}"
        ) from None
    ours, theirs = _count(student), _count(fresh(inputs))
    if ours >= theirs:
        raise RefusedError(
            f"strategies.distill: the student has {ours:,} parameters, its teacher {theirs:,}; expected "
            "a smaller student"
        )
    return student


def matching_loss(teacher: Network, temperature: float, objective: Objective) -> Criterion:
    """Returns the loss between the student's and the teacher's outputs for the same inputs.

    Args:
        teacher: Network in eval mode, on the batch's device.
        temperature: T. Classification: T^2 KL(teacher || student) of the softmax of logits / T; multilabel: T^2 times
            the binary cross entropy of logits / T; regression: the mean squared difference, without a temperature.
        objective: The task and the meaning of the outputs.
    """
    values = loss_of(TASKS[objective.task].loss_names[0], objective)
    distance = TASKS[objective.task].distillation_loss

    def loss(batch: Batch) -> Tensor:
        with torch.no_grad():
            wanted = teacher(batch.inputs).to(batch.logits.dtype)
        if distance is None:
            return values(batch.logits, wanted, 0.0)
        return temperature**2 * distance(batch.logits / temperature, wanted / temperature)

    return loss


def _count(network: Network) -> int:
    return sum(weight.numel() for weight in network.parameters())


def describe_sizes(student: Network, teacher: Network) -> str:
    """Returns a note with the numbers of parameters of both networks."""
    ours, theirs = _count(student), _count(teacher)
    return f"student of {ours:,} parameters, {ours / theirs:.0%} of its teacher's {theirs:,}"


def describe_teacher(taught: StrategyResult) -> str:
    """Returns a note with the teacher's last validation accuracy."""
    last = next((point for point in reversed(taught.history) if point.val_accuracy is not None), None)
    accuracy = "" if last is None else f": validation accuracy {last.val_accuracy:.3f}"
    return f"teacher trained as `full`{accuracy}"
