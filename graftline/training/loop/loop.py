"""The loop: batches in, steps out, one epoch at a time, stopped at the first loss that is no number."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from graftline.config import Training
from graftline.models.checkpoint import EpochRecord, InputContract
from graftline.models.devices import place
from graftline.models.network import Network
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.training.batches.balance import ordered
from graftline.training.batches.losses import squared_norm
from graftline.training.batches.samples import Indices, Samples, cut
from graftline.training.loop.averaging import Average
from graftline.training.loop.freezing import train_mode
from graftline.training.loop.optimizer import Group, build, set_rate
from graftline.training.loop.stepper import Criterion, Penalty, Stepper
from graftline.training.processes import distributed
from graftline.training.progress import Progress
from graftline.training.validation import outputs, score

BOUND = 1e4
"""A loss above this has diverged; a network that knows nothing is at log K."""
GLANCE = 16
"""Steps between two looks at the loss on a GPU, which has to wait for each."""

LRSchedule = Callable[[int], float]


class TrainingLoop:
    """A network in training: what of it, at which rates, on which device, and how far it is.

    Attributes:
        steps: Optimizer steps so far.
        epochs: Passes begun so far.
        shown: Images that entered a gradient so far, each time counted.
        batches: Of the pass under way, done so far; `losses` are theirs, `order` is what their order was drawn from.
        over: It came to its end, by its epochs or by validation.
        diverged: Why it stopped before; the network then has the weights of the last good epoch.
        average: Of the weights, where the training asks for one.
    """

    def __init__(
        self,
        network: Network,
        groups: Sequence[Group],
        training: Training,
        contract: InputContract,
        *,
        seed: int,
        device: torch.device,
        progress: Progress,
        stage: str = "",
        criterion: Criterion | None = None,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        place(network, device)
        distributed.synchronised(network, device)
        self.network, self.training, self.contract = network, training, contract
        self.device, self.progress, self.stage = device, progress, stage
        self.optimizer = build(groups, training)
        self.generator = torch.Generator().manual_seed(seed)
        weights = [weight for each in groups for weight in each.weights]
        self.stepper = Stepper(
            network,
            training,
            contract,
            device,
            trained=weights,
            criterion=criterion,
            penalties=[*([_l2(training.l2, weights)] if training.l2 else []), *penalties],
        )
        self.average = Average(network, training.ema) if training.ema else None
        self.steps = self.epochs = self.shown = self.batches = 0
        self.losses: list[Tensor] = []
        self.order = self.generator.get_state()
        self.seconds, self._began = 0.0, time.perf_counter()
        self.over, self.diverged = False, ""

    def epoch(self, train: Samples, course: LRSchedule, between: Callable[[], None] | None = None) -> float:
        """Shows each image once (a sampler: as many images), or what is left of the pass that was under way.

        Args:
            train: What to train on.
            course: Step number, from 0 and over all epochs, to the factor on the peak rates.
            between: Called after each step, when all of the state is at rest.

        Returns:
            The mean loss, penalties included.

        Raises:
            DivergedError: A loss is NaN, infinite or over `BOUND`; names epoch and batch.
            RefusedError: Batch norm in training would see batches of one.
        """
        train_mode(self.network)
        self._refuse_single(len(train))
        self.stepper.begin(train)
        self._began = time.perf_counter()
        whole = self.training.optimizer == "gd"  # a step then sees the whole split, its gradient summed up in parts
        for places, last in self._rest_of_pass(train):
            if not whole or not self.losses:
                set_rate(self.optimizer, course(self.steps))
                self.optimizer.zero_grad()
            self.losses.append(
                self.stepper.gradients(train, places, self.generator, len(places) / len(train) if whole else 1.0)
            )
            self.batches += 1
            self.shown += len(places)
            self._glance(len(places), last=last)
            if last or not whole:
                self._step()
            if between is not None and not (last or whole):
                self._clock()
                between()
        mean = float(torch.stack(self.losses)[:, 1].mean())
        self.batches, self.losses = 0, []
        self._clock()
        return mean

    def record(self, train_loss: float, val: Samples | None) -> EpochRecord:
        """Looks at validation, with the averaged weights where there are any; returns the curve's next point."""
        self._began = time.perf_counter()
        point = EpochRecord(
            stage=self.stage,
            epoch=self.epochs,
            train_loss=train_loss,
            seconds=self.seconds,
            examples_seen=self.shown,
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        if val is not None and len(val):
            with self.averaged():
                logits = outputs(self.network, val, self.contract, self.device)
            found = distributed.agreed(score(logits, val.labels, self.training.loss, self.network.objective))
            point = point.model_copy(update=found.point)
            self.progress.advance(0, self._words(), **found.told, val_loss=found.loss)
        self._clock()
        return point

    def averaged(self) -> AbstractContextManager[None]:
        """Inside, the network has the averaged weights, where there are any."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def _rest_of_pass(self, train: Samples) -> Iterator[tuple[Indices, bool]]:
        """Yields batches of a new pass, or those that are left of the one that a state was taken in."""
        now = self.generator.get_state()
        if self.batches:
            self.generator.set_state(self.order)
        else:
            self.epochs += 1
            self.order = now
        every = list(ordered(train.labels, self.training.batch_size, self.generator, self.training.balance))
        if self.batches:
            self.generator.set_state(now)
        for number in range(self.batches, len(every)):
            for later in every[number + 1 : number + 2]:
                self.stepper.ahead.announce(train, later)
            yield every[number], number + 1 == len(every)

    def _step(self) -> None:
        self.optimizer.step()
        self.steps += 1
        if self.average is not None:
            self.average.update()

    def _clock(self) -> None:
        now = time.perf_counter()
        self.seconds, self._began = self.seconds + now - self._began, now

    def _glance(self, images: int, *, last: bool) -> None:
        every = 1 if self.device.type == "cpu" else GLANCE
        if len(self.losses) % every and not last:
            self.progress.advance(images, self._words())
            return
        first = max(0, len(self.losses) - every)
        for number, (loss, total) in enumerate(torch.stack(self.losses[first:]).tolist(), start=first + 1):
            if not math.isfinite(total) or loss > BOUND:
                where = f"{self.stage}: " if self.stage else ""
                raise DivergedError(
                    f"{where}diverged: loss {total:.4g} in epoch {self.epochs}, batch {number}, "
                    f"expected at most {BOUND:g}; set a learning_rate below {self._peak():.3g}"
                )
        self.progress.advance(images, self._words(), loss=total)

    def _peak(self) -> float:
        return max(float(each["peak"]) for each in self.optimizer.param_groups)

    def _words(self) -> str:
        return ", ".join(part for part in (self.stage, f"epoch {self.epochs}") if part)

    def _refuse_single(self, count: int) -> None:
        if min(high - low for low, high in cut(count, self.training.batch_size)) > 1:
            return
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training for part in self.network.modules()):
            raise RefusedError(
                f"batch_size: {self.training.batch_size} with {count} training images gives batches of "
                "one image, of which batch norm has no statistics; expected at least 2 images a batch"
            )


def _l2(strength: float, weights: list[nn.Parameter]) -> Penalty:
    return lambda batch: strength * squared_norm(weights)
