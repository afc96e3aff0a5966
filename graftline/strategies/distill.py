"""`distill`: the fine-tuned network teaches a smaller one, from random weights, for small devices.

Outputs are matched, softened by a temperature (Hinton et al. 2015), on the same augmented views, and nothing else is:
no labels (Beyer et al. 2022, who call it function matching, and show that long training of the student pays).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graftline.config import Positive, StrategyOptions
from graftline.models.checkpoint import CheckpointManifest
from graftline.strategies.record import Strategy
from graftline.training.profile import TrainingProfile
from graftline.training.shape import Shape

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult

TEACHER = "teacher"
STUDENT_EPOCHS = 4
"""Student epochs for each epoch of its teacher: it starts from random weights, and gains by long training."""


class Distill(StrategyOptions):
    """A smaller network taught by the fine-tuned one, for small devices."""

    name: Literal["distill"] = "distill"
    student: str | None = None
    """Backbone of the student, random weights; by default the source's own architecture, narrower."""
    width: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Factor on the widths where the student is a narrower copy."""
    temperature: Positive = 2.0
    """Softens both outputs."""


def student_shape(source: CheckpointManifest, options: Distill) -> Shape:
    """Returns the shape of the student: the named backbone, or the source's network with a factor on its widths."""
    if options.student is not None:
        return Shape(options.student, source.small, {})
    width = float(source.architecture.get("width", 1.0)) * options.width
    return Shape(source.backbone, source.small, {**source.architecture, "width": width})


def train(inputs: StrategyInput) -> StrategyResult:
    """Trains the teacher as `full` does, then the student by it, `STUDENT_EPOCHS` times as long.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The student cannot be built, or is not smaller than its teacher.
        DivergedError: The teacher's loss diverged, or the student's in its first epoch.
    """
    from dataclasses import replace

    from graftline.models.devices import place
    from graftline.runtime.errors import DivergedError
    from graftline.strategies.full import Full
    from graftline.strategies.full import train as train_full
    from graftline.strategies.methods.distillation import build_student, describe_sizes, describe_teacher, matching_loss
    from graftline.strategies.weights.fitting import onward, train_groups
    from graftline.strategies.weights.surgery import anew
    from graftline.training.loop.freezing import freeze
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import rates

    options = inputs.asked(Distill)
    shape = student_shape(inputs.start.manifest, options)
    student = build_student(inputs, options, shape)
    taught = train_full(replace(inputs, options=Full(), journal=inputs.journal.scope(TEACHER), until=None))
    if taught.diverged:
        raise DivergedError(f"{TEACHER}: {taught.diverged}")
    sizes = describe_sizes(student, taught.network)
    freeze([taught.network])
    taught.network.eval()
    place(taught.network, inputs.device)
    seen = taught.examples_seen
    until = None if inputs.until is None else max(1, inputs.until - seen)
    # No early stopping: random weights may not improve for long at first, and matching outputs does not overfit.
    longer = {"epochs": STUDENT_EPOCHS * (inputs.training.epochs or 1), "patience": 0}
    loop, trained = train_groups(
        replace(inputs, training=inputs.training.model_copy(update=longer), until=until),
        student,
        inputs.contract,
        [parameter_group([student], rates(inputs.training).new)],
        stage="student",
        criterion=matching_loss(taught.network, options.temperature, inputs.objective),
    )
    history = [point.model_copy(update={"stage": TEACHER}) for point in taught.history]
    history += onward(trained.history, seen, history[-1].seconds if history else 0.0)
    return replace(
        trained,
        backbone=shape.backbone,
        small=shape.small,
        architecture=shape.architecture,
        history=history,
        examples_seen=seen + loop.examples_seen,
        reinitialised=list(student.state_dict()),
        dropped=list(inputs.start.network.state_dict()),
        surgery=anew(inputs),
        notes=[sizes, describe_teacher(taught)],
    )


STRATEGY = Strategy(
    Distill,
    train,
    TrainingProfile(passes_per_epoch=1 + STUDENT_EPOCHS, has_own_loss=True),
    network=student_shape,
    not_raced="makes a smaller network",
    examples=(Distill(), Distill(student="cnn")),
)
