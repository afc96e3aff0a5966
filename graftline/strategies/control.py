"""The control: the same network from random weights, all layers trained, until it stops improving.

Whoever claims that transfer helps has to beat this (He et al. 2019 showed how long it takes to be fair).
"""

import copy
import math
from collections import deque
from dataclasses import dataclass, replace

from graftline.models.devices import seeded
from graftline.models.network import Network
from graftline.runtime import events
from graftline.runtime.errors import DivergedError
from graftline.strategies.weights.carry import fresh, usable_val
from graftline.training.batches.samples import Samples
from graftline.training.contract import StrategyInput, StrategyResult, predictor
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.freezing import trained_parameters
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.monitored import MonitoredLoop, detached_copy
from graftline.training.loop.optimizer import parameter_group
from graftline.training.processes import distributed
from graftline.training.recipe.student import shape_of
from graftline.training.resume.journal import JournalEntry
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
ON = "on"
"""The part after the trials, in the journal."""


@dataclass(frozen=True)
class Trial:
    """One rate's training, as far as it was tried."""

    monitored: MonitoredLoop
    rate: float
    score: float
    """The best on validation."""
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better."""
        return self.score, -self.loss


@dataclass(frozen=True)
class Course:
    """How long a control trains, in images."""

    least: int
    most: int
    first: int
    every: int
    """Between two looks at validation."""


def train(task: StrategyInput) -> StrategyResult:
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
    monitored = trial.monitored
    converged = _go_on(task, trial, inside, val, course, notes)
    network = monitored.loop.network
    network.load_state_dict(monitored.best)
    network.eval()
    contract, shape = task.contract, shape_of(task.start.manifest, task.student)
    return StrategyResult(
        network,
        contract,
        shape.small,
        task.head,
        predictor(network, contract, task.device),
        architecture=shape.architecture,
        backbone=shape.backbone,
        history=monitored.history,
        examples_seen=monitored.loop.examples_seen,
        trained_parameters=trained_parameters(network),
        reinitialised=list(network.state_dict()),
        notes=notes,
        learning_rate=trial.rate,
        converged=converged,
    )


def _go_on(task: StrategyInput, trial: Trial, train: Samples, val: Samples, course: Course, notes: list[str]) -> bool:
    """Trains on until patience runs out; returns whether it did, and notes what else stopped it."""
    monitored, loop = trial.monitored, trial.monitored.loop
    with seeded(task.seed, "control, on"):
        if (kept := task.journal.get(ON)) is not None:
            monitored.restore(kept)
        task.journal.discard(_part(trial.rate))
        while (examples_seen := _shown(monitored)) < course.most and (
            examples_seen < course.least or not monitored.early_stopping.should_stop
        ):
            try:
                _to_next_look(task, ON, monitored, train, val, course)
            except DivergedError as error:
                notes.append(f"not converged: {error}; its best weights until then are kept")
                return False
    converged = monitored.early_stopping.should_stop and loop.examples_seen >= task.longest
    if not converged:
        notes.append(f"not converged: stopped by its cap of {course.most} presentations")
    return converged


def course_of(task: StrategyInput, images: int) -> Course:
    """Returns how long the control trains.

    Args:
        task: Its `longest` is the least, its `control.max_presentations` the most.
        images: It trains on.
    """
    least = max(task.longest, images)
    most = task.control.max_examples_seen or CAP * least
    return Course(least, most, first=max(2 * images, math.ceil(FIRST * least)), every=max(images, least // LOOKS))


def _best_rate(
    task: StrategyInput, network: Network, train: Samples, val: Samples, course: Course
) -> tuple[Trial, list[str]]:
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
            scores[rate] = trial.score
            told.append(
                f"rate {rate:g}: validation {trial.score:.3f} after about "
                f"{min(course.first, course.most)} presentations"
            )
            best, loser = (trial, best) if best is None or trial.rank > best.rank else (best, trial)
            if loser is not None:
                task.journal.discard(_part(loser.rate))
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


def _try(task: StrategyInput, network: Network, rate: float, train: Samples, val: Samples, course: Course) -> Trial:
    part = _part(rate)
    loop = TrainingLoop(
        network,
        [parameter_group([network], rate)],
        task.training,
        task.contract,
        TrainingStage(task.seed, task.device, task.progress, part),
    )
    monitored = MonitoredLoop(loop, EarlyStopping(task.control.patience))
    kept, result = task.journal.get(part), task.journal.get(f"{part}, result")
    with seeded(task.seed, "control"):
        if kept is not None and kept.tensors:
            monitored.restore(kept)
        if result is not None:
            return Trial(monitored, rate, **result.values)
        while _shown(monitored) < min(course.first, course.most):
            _to_next_look(task, part, monitored, train, val, course)
        if task.journal.is_enabled:
            task.journal.put(part, detached_copy(_cell(monitored)))
    values = {"score": monitored.early_stopping.score, "loss": monitored.early_stopping.loss}
    task.journal.put(f"{part}, result", JournalEntry(values, done=True))
    return Trial(monitored, rate, **values)


def _to_next_look(
    task: StrategyInput, part: str, monitored: MonitoredLoop, train: Samples, val: Samples, course: Course
) -> None:
    loop, early_stopping = monitored.loop, monitored.early_stopping
    until = min(_shown(monitored) + course.every, course.most)

    def tick() -> None:
        task.journal.save_if_due(part, lambda: _cell(monitored))

    while loop.examples_seen < until or loop.batches_done:
        tick()
        loss = loop.epoch(train, lambda step: early_stopping.lr_factor * min(1.0, (step + 1) / RISING), tick)
    point = loop.record(loss, None)
    logits = outputs(loop.network, val, loop.contract, loop.device)
    found = distributed.broadcast(score(logits, val.labels, loop.training.loss, loop.network.objective))
    # Half of the least presentations at the full rate: a net from random weights may stand still for long at first.
    monitored.update(found.main, found.loss, may_reduce_lr=loop.examples_seen >= course.least // 2)
    loop.progress.advance(0, loop.stage, **found.progress_values)
    monitored.history.append(point.model_copy(update=found.point))


def _part(rate: float) -> str:
    return f"rate {rate:g}"


def _cell(monitored: MonitoredLoop) -> JournalEntry:
    return replace(monitored.to_entry(), has_network=False)  # one trial's weights don't make another's needless


def _shown(monitored: MonitoredLoop) -> int:
    """Presentations at the last look: the same before and after a kill."""
    return monitored.history[-1].examples_seen if monitored.history else 0
