"""`distill`: the fine-tuned network teaches a smaller one, from random weights, for small devices.

Outputs are matched, softened by a temperature (Hinton et al. 2015), on the very same augmented views, and nothing else
is: no labels (Beyer et al. 2022, who call it function matching, and show that a patient student gains by it).
"""

from dataclasses import replace

import torch
from torch import Tensor

from graftline.config.strategies import Distill, Full
from graftline.evaluation.tasks import TASKS
from graftline.models.devices import place
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.models.structure import structures
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.strategies import full
from graftline.strategies.weights.carry import fresh, onward, train_groups
from graftline.strategies.weights.surgery import anew
from graftline.training.batches.losses import loss_of
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze
from graftline.training.loop.optimizer import parameter_group
from graftline.training.loop.stepper import Batch, Criterion
from graftline.training.recipe import rates
from graftline.training.recipe.student import PATIENT, shape_of

TEACHER = "teacher"


def train(task: StrategyInput) -> StrategyResult:
    """Trains the teacher as `full` does, then the student by it, `PATIENT` times as long.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The student cannot be built, or is not smaller than its teacher.
        DivergedError: The teacher's loss did, or the student's in its first epoch.
    """
    options = task.asked(Distill)
    student = student_of(task, options)
    taught = full.train(replace(task, options=Full(), journal=task.journal.scope(TEACHER), until=None))
    if taught.diverged:
        raise DivergedError(f"{TEACHER}: {taught.diverged}")
    sizes = _sizes(student, taught.network)
    freeze([taught.network])
    taught.network.eval()
    place(taught.network, task.device)
    examples_seen = taught.examples_seen
    until = None if task.until is None else max(1, task.until - examples_seen)
    # To the end: a network from random weights may stand still for long at first, and a match does not overfit.
    longer = task.training.model_copy(update={"epochs": PATIENT * (task.training.epochs or 1), "patience": 0})
    loop, trained = train_groups(
        replace(task, training=longer, until=until),
        student,
        task.contract,
        [parameter_group([student], rates(task.training).new)],
        stage="student",
        criterion=matching(taught.network, options.temperature, task.objective),
    )
    shape = shape_of(task.start.manifest, options)
    history = [point.model_copy(update={"stage": TEACHER}) for point in taught.history]
    history += onward(trained.history, examples_seen, history[-1].seconds if history else 0.0)
    return replace(
        trained,
        backbone=shape.backbone,
        small=shape.small,
        architecture=shape.architecture,
        history=history,
        examples_seen=examples_seen + loop.examples_seen,
        reinitialised=list(student.state_dict()),
        dropped=list(task.start.network.state_dict()),
        surgery=anew(task),
        notes=[sizes, _told(task, taught)],
    )


def student_of(task: StrategyInput, options: Distill) -> Network:
    """Builds the student, for the source's input.

    Raises:
        RefusedError: There is no such network, it cannot be made narrower, it cannot take the source's input, or it is
            not smaller than the source's network.
    """
    source, contract = task.start.manifest.backbone, task.contract
    if options.student is None and "width" not in structures(source):
        raise RefusedError(
            f"strategies.distill: {source} cannot be made narrower; expected the name of a student, "
            "as in {distill: {student: mobilenet_v3_small}}"
        )
    try:
        student = fresh(replace(task, student=options))
    except RefusedError as error:
        raise RefusedError(
            f"strategies.distill: no student for the source's input ({contract.channels} x "
            f"{contract.height} x {contract.width}): {error}"
        ) from None
    ours, theirs = _count(student), _count(fresh(task))
    if ours >= theirs:
        raise RefusedError(
            f"strategies.distill: the student has {ours:,} parameters, its teacher {theirs:,}; expected "
            "a smaller student"
        )
    return student


def matching(teacher: Network, temperature: float, objective: Objective) -> Criterion:
    """Returns the loss of a student against its teacher's answers to the same inputs.

    Args:
        teacher: In eval mode, on the batch's device.
        temperature: T. Classification: T^2 KL(teacher || student) of the softmax of logits / T; multilabel: T^2 times
            the binary cross entropy likewise; regression: the mean squared difference, without a temperature.
        objective: What the outputs mean.
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


def _sizes(student: Network, teacher: Network) -> str:
    ours, theirs = _count(student), _count(teacher)
    return f"student of {ours:,} parameters, {ours / theirs:.0%} of its teacher's {theirs:,}"


def _told(task: StrategyInput, taught: StrategyResult) -> str:
    seen = next((point for point in reversed(taught.history) if point.val_accuracy is not None), None)
    return "teacher trained as `full` is" + ("" if seen is None else f": validation accuracy {seen.val_accuracy:.3f}")
