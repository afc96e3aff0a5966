"""The control: the same network from random weights, all layers trained, until it stops improving.

Whoever claims that transfer helps has to beat this (He et al. 2019 showed how long it takes to be fair).
"""

import copy
import math
from collections import deque
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
BEYOND, WIDER = 3.0, 3
"""A best rate at the end of the list has the next one by this factor tried too, at most so many times."""


@dataclass
class Trial:
    """One rate's training."""

    loop: Loop
    plateau: Plateau
    rate: float
    best: dict[str, Tensor] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: best validation score so far, then its loss."""
        return self.plateau.score, -self.plateau.loss


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
    waiting = deque(task.control.learning_rates if task.control_rate is None else [task.control_rate])
    most = len(waiting) + WIDER if task.control_rate is None else 1
    scores: dict[float, float] = {}
    told: list[str] = []
    best: Trial | None = None
    last: DivergedError | None = None
    while waiting:
        rate = waiting.popleft()
        try:
            trial = _try(task, copy.deepcopy(network) if most > 1 else network, rate, train, val, course)
            scores[rate], shown = trial.plateau.score, trial.loop.shown
            told.append(f"rate {rate:g}: validation {scores[rate]:.3f} after {shown} presentations")
            best = trial if best is None or trial.rank > best.rank else best
        except DivergedError as error:
            scores[rate], last = -math.inf, error
            told.append(f"rate {rate:g}: diverged")
        if best and not waiting and len(scores) < most:
            waiting.extend(_beyond(best.rate, scores))
    for line in told:
        events.log(f"control: {line}")
    if best is None:
        raise last or DivergedError("control: no learning rate to try")
    return best, told


def _beyond(best: float, scores: dict[float, float]) -> list[float]:
    """The next rate outwards, where the best is an outermost one and better than all others, not just their equal."""
    if any(score >= scores[best] for rate, score in scores.items() if rate != best):
        return []
    if best == max(scores):
        return [best * BEYOND]
    return [best / BEYOND] if best == min(scores) else []


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
