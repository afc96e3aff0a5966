"""The control: the same network from random weights, all layers trained, until it stops improving.

Whoever claims that transfer helps has to beat this (He et al. 2019 showed how long it takes to be fair).
"""

import copy
import math
from dataclasses import dataclass, field

from torch import Tensor

from graftline import events
from graftline.backbones import Network
from graftline.checkpoint import Epoch
from graftline.errors import DivergedError
from graftline.strategies.carry import fresh, usable_val
from graftline.training.batches import Samples
from graftline.training.devices import seeded
from graftline.training.freezing import trained_parameters
from graftline.training.loop import Loop
from graftline.training.optimizer import group
from graftline.training.plateau import Plateau
from graftline.training.task import Task, Trained, predictor
from graftline.training.validation import outputs, score

LOOKS = 30
"""Looks at validation over the least presentations."""
FIRST = 0.125
"""Share of the least presentations that each rate is tried for."""
CAP = 10
"""Times the least presentations, where no cap is given by hand."""
RISING = 20
"""Steps over which the rate rises."""


@dataclass
class Trial:
    """One rate's training."""

    loop: Loop
    plateau: Plateau
    rate: float
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)


@dataclass(frozen=True)
class Course:
    """How long a control trains, in images."""

    least: int
    most: int
    first: int
    every: int
    """Between two looks at validation."""


def train(task: Task) -> Trained:
    """Tries the rates from the same start, goes on with the best, keeps the best weights by validation.

    Raises:
        DivergedError: At every rate.
        RefusedError: No validation images, and none can be held out.
    """
    inside, val, notes = usable_val(task)
    course = course_of(task, len(inside))
    network = fresh(task)
    trial, told = _best_rate(task, network, inside, val, course)
    notes += told
    converged = _go_on(task, trial, inside, val, course, notes)
    trial.loop.network.load_state_dict(trial.best)
    trial.loop.network.eval()
    shown = trial.loop.shown
    contract, source = task.contract, task.start.manifest
    return Trained(trial.loop.network, contract, source.small, task.head,
                   predictor(trial.loop.network, contract, task.device), architecture=source.architecture,
                   history=trial.history, presentations=shown,
                   trained_parameters=trained_parameters(trial.loop.network),
                   reinitialised=list(trial.loop.network.state_dict()), notes=notes,
                   learning_rate=trial.rate, converged=converged)


def _go_on(task: Task, trial: Trial, train: Samples, val: Samples, course: Course, notes: list[str]) -> bool:
    """Trains on until patience runs out; returns whether it did, and notes what else stopped it."""
    with seeded(task.seed, "control, on"):
        while trial.loop.shown < course.most and (trial.loop.shown < course.least or not trial.plateau.exhausted):
            try:
                _to_next_look(trial, train, val, course)
            except DivergedError as error:
                notes.append(f"not converged: {error}; its best weights until then are kept")
                return False
    converged = trial.plateau.exhausted and trial.loop.shown >= task.longest
    if not converged:
        notes.append(f"not converged: stopped by its cap of {course.most} presentations")
    return converged


def course_of(task: Task, images: int) -> Course:
    """Returns how long the control trains.

    Args:
        task: Its `longest` is the least, its `control.max_presentations` the most.
        images: It trains on.
    """
    least = max(task.longest, images)
    most = task.control.max_presentations or CAP * least
    return Course(least, most, first=max(2 * images, math.ceil(FIRST * least)), every=max(images, least // LOOKS))


def _best_rate(task: Task, network: Network, train: Samples, val: Samples, course: Course) -> tuple[Trial, list[str]]:
    rates = task.control.learning_rates if task.control_rate is None else [task.control_rate]
    best: Trial | None = None
    told: list[str] = []
    diverged: list[DivergedError] = []
    for rate in rates:
        try:
            trial = _try(task, copy.deepcopy(network) if len(rates) > 1 else network, rate, train, val, course)
        except DivergedError as error:
            diverged.append(error)
            told.append(f"rate {rate:g}: diverged")
            continue
        told.append(f"rate {rate:g}: validation {trial.plateau.score:.3f} after {trial.loop.shown} presentations")
        if best is None or (trial.plateau.score, -trial.plateau.loss) > (best.plateau.score, -best.plateau.loss):
            best = trial
    if best is None:
        raise diverged[0]
    for line in told:
        events.log(f"control: {line}")
    return best, told


def _try(task: Task, network: Network, rate: float, train: Samples, val: Samples, course: Course) -> Trial:
    loop = Loop(network, [group([network], rate)], task.training, task.contract, seed=task.seed, device=task.device,
                meter=task.meter, stage=f"rate {rate:g}")
    trial = Trial(loop, Plateau(task.control.patience), rate)
    with seeded(task.seed, "control"):
        while loop.shown < min(course.first, course.most):
            _to_next_look(trial, train, val, course)
    return trial


def _to_next_look(trial: Trial, train: Samples, val: Samples, course: Course) -> None:
    loop, plateau = trial.loop, trial.plateau
    until = min(loop.shown + course.every, course.most)
    while loop.shown < until:
        loss = loop.epoch(train, lambda step: plateau.factor * min(1.0, (step + 1) / RISING))
    point = loop.record(loss, None)
    found = score(outputs(loop.network, val, loop.contract, loop.device), val.labels, loop.training.loss)
    # Half of the least presentations at the full rate: a net from random weights may stand still for long at first.
    if plateau.look(found.balanced, found.loss, may_decay=loop.shown >= course.least // 2):
        trial.best = {key: value.clone() for key, value in loop.network.state_dict().items()}
    loop.meter.advance(0, loop.stage, val_accuracy=found.accuracy)
    trial.history.append(point.model_copy(update={"val_loss": found.loss, "val_accuracy": found.accuracy}))
