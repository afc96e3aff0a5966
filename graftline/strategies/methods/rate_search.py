"""Learning rate search and training to convergence for the control."""

import copy
import math
from collections import deque
from dataclasses import dataclass, replace

from graftline.models.devices import seeded
from graftline.models.network import Network
from graftline.runtime import events
from graftline.runtime.errors import DivergedError
from graftline.training.batches.samples import Samples
from graftline.training.interface import StrategyInput
from graftline.training.loop.early_stopping import EarlyStopping
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.monitored import MonitoredLoop, detached_copy
from graftline.training.loop.optimizer import parameter_group
from graftline.training.processes import distributed
from graftline.training.resume.journal import JournalEntry
from graftline.training.validation import outputs, score

EVALUATIONS = 30
"""Number of evaluations on validation during the minimum length."""
TRIAL_SHARE = 0.125
"""Length of the trial of each learning rate, as a fraction of the minimum length."""
MAX_FACTOR = 10
"""Maximum length of the training as a multiple of the minimum length, if the config sets no limit."""
WARMUP_STEPS = 20
"""Number of steps of the linear learning rate warmup."""
NEXT_RATE, MAX_NEXT_RATES = 3.0, 3
"""Factor to the next learning rate to try if the best one is the lowest or the highest, and the maximum number of such
extensions."""
CONTINUED = "on"
"""Name in the journal of the training after the trials."""


@dataclass(frozen=True)
class Trial:
    """A training at one learning rate."""

    monitored: MonitoredLoop
    rate: float
    score: float
    """Best validation score."""
    loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key of trials; higher is better."""
        return self.score, -self.loss


@dataclass(frozen=True)
class Length:
    """Length of the control's training, in training images seen."""

    minimum: int
    maximum: int
    trial: int
    """Length of each trial."""
    interval: int
    """Interval between evaluations on validation."""


def length_of(inputs: StrategyInput, images: int) -> Length:
    """Returns the length of the control's training.

    Args:
        inputs: Input of the strategy; `longest` is the minimum and `control.max_examples_seen` the maximum.
        images: Number of training images.
    """
    minimum = max(inputs.longest, images)
    return Length(
        minimum,
        inputs.control.max_examples_seen or MAX_FACTOR * minimum,
        trial=max(2 * images, math.ceil(TRIAL_SHARE * minimum)),
        interval=max(images, minimum // EVALUATIONS),
    )


def best_trial(
    inputs: StrategyInput, network: Network, train: Samples, val: Samples, length: Length
) -> tuple[Trial, list[str]]:
    """Trains a copy of the network at each learning rate and returns the best trial and notes on all trials.

    Raises:
        DivergedError: The loss diverged at every rate.
    """
    waiting = deque(inputs.control.learning_rates if inputs.control_rate is None else [inputs.control_rate])
    most = len(waiting) + MAX_NEXT_RATES if inputs.control_rate is None else 1
    scores: dict[float, float] = {}
    notes: list[str] = []
    best: Trial | None = None
    last: DivergedError | None = None
    while waiting:
        rate = waiting.popleft()
        try:
            trial = _try(inputs, copy.deepcopy(network) if most > 1 else network, rate, train, val, length)
            scores[rate] = trial.score
            notes.append(
                f"rate {rate:g}: validation {trial.score:.3f} after about "
                f"{min(length.trial, length.maximum)} training images seen"
            )
            best, loser = (trial, best) if best is None or trial.rank > best.rank else (best, trial)
            if loser is not None:
                inputs.journal.discard(_part(loser.rate))
        except DivergedError as error:
            scores[rate], last = -math.inf, error
            notes.append(f"rate {rate:g}: diverged")
        if best and not waiting and len(scores) < most:
            waiting.extend(_next_rate(best.rate, scores))
    for line in notes:
        events.log(f"control: {line}")
    if best is None:
        raise last or DivergedError("control: no learning rate to try")
    return best, notes


def train_until_converged(
    inputs: StrategyInput, trial: Trial, train: Samples, val: Samples, length: Length, notes: list[str]
) -> bool:
    """Continues a trial until early stopping and returns whether the training converged.

    If the training stops for another reason, a note is appended to `notes`.
    """
    monitored, loop = trial.monitored, trial.monitored.loop
    with seeded(inputs.seed, "control, on"):
        if (kept := inputs.journal.get(CONTINUED)) is not None:
            monitored.restore(kept)
        inputs.journal.discard(_part(trial.rate))
        while (seen := _examples_seen(monitored)) < length.maximum and (
            seen < length.minimum or not monitored.early_stopping.should_stop
        ):
            try:
                _train_to_evaluation(inputs, CONTINUED, monitored, train, val, length)
            except DivergedError as error:
                notes.append(f"not converged: {error}; the best weights so far are kept")
                return False
    converged = monitored.early_stopping.should_stop and loop.examples_seen >= inputs.longest
    if not converged:
        notes.append(f"not converged: stopped at the limit of {length.maximum} training images seen")
    return converged


def _next_rate(best: float, scores: dict[float, float]) -> list[float]:
    """Returns the next rate to try if the best one is the lowest or the highest and strictly better than all others."""
    if any(score >= scores[best] for rate, score in scores.items() if rate != best):
        return []
    if best == max(scores):
        return [best * NEXT_RATE]
    return [best / NEXT_RATE] if best == min(scores) else []


def _try(inputs: StrategyInput, network: Network, rate: float, train: Samples, val: Samples, length: Length) -> Trial:
    part = _part(rate)
    loop = TrainingLoop(
        network,
        [parameter_group([network], rate)],
        inputs.training,
        inputs.contract,
        TrainingStage(inputs.seed, inputs.device, inputs.progress, part),
    )
    monitored = MonitoredLoop(loop, EarlyStopping(inputs.control.patience))
    kept, result = inputs.journal.get(part), inputs.journal.get(f"{part}, result")
    with seeded(inputs.seed, "control"):
        if kept is not None and kept.tensors:
            monitored.restore(kept)
        if result is not None:
            return Trial(monitored, rate, **result.values)
        while _examples_seen(monitored) < min(length.trial, length.maximum):
            _train_to_evaluation(inputs, part, monitored, train, val, length)
        if inputs.journal.is_enabled:
            inputs.journal.put(part, detached_copy(_entry(monitored)))
    values = {"score": monitored.early_stopping.score, "loss": monitored.early_stopping.loss}
    inputs.journal.put(f"{part}, result", JournalEntry(values, done=True))
    return Trial(monitored, rate, **values)


def _train_to_evaluation(
    inputs: StrategyInput, part: str, monitored: MonitoredLoop, train: Samples, val: Samples, length: Length
) -> None:
    loop, early_stopping = monitored.loop, monitored.early_stopping
    until = min(_examples_seen(monitored) + length.interval, length.maximum)

    def tick() -> None:
        inputs.journal.save_if_due(part, lambda: _entry(monitored))

    while loop.examples_seen < until or loop.batches_done:
        tick()
        loss = loop.epoch(train, lambda step: early_stopping.lr_factor * min(1.0, (step + 1) / WARMUP_STEPS), tick)
    point = loop.record(loss, None)
    logits = outputs(loop.network, val, loop.contract, loop.device)
    scored = distributed.broadcast(score(logits, val.labels, loop.training.loss, loop.network.objective))
    # The learning rate is not reduced during the first half of the minimum length, because a network with random
    # weights may not improve for a long time at first.
    monitored.update(scored.main, scored.loss, may_reduce_lr=loop.examples_seen >= length.minimum // 2)
    loop.progress.advance(0, loop.stage, **scored.progress_values)
    monitored.history.append(point.model_copy(update=scored.point))


def _part(rate: float) -> str:
    return f"rate {rate:g}"


def _entry(monitored: MonitoredLoop) -> JournalEntry:
    return replace(monitored.to_entry(), has_network=False)  # a trial must not replace another trial's state


def _examples_seen(monitored: MonitoredLoop) -> int:
    """Returns the number of training images seen at the last evaluation; it does not depend on interruptions."""
    return monitored.history[-1].examples_seen if monitored.history else 0
