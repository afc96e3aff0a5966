"""The loop: batches in, steps out, one epoch at a time, stopped at the first loss that is no number."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from graftline.backbones import Network, prepare
from graftline.checkpoint import Epoch, InputContract
from graftline.config import Training
from graftline.errors import DivergedError, RefusedError
from graftline.training.augment import AUGMENTATIONS
from graftline.training.batches import Rows, Samples, cut, shuffled
from graftline.training.devices import as_input, place
from graftline.training.freezing import train_mode
from graftline.training.losses import LOSSES, squared_norm
from graftline.training.meter import Meter
from graftline.training.optimizer import Group, build, set_rate
from graftline.training.schedule import factor
from graftline.training.validation import outputs, score

BOUND = 1e4
"""A loss above this has diverged; a network that knows nothing is at log K."""
GLANCE = 16
"""Steps between two looks at the loss on a GPU, which has to wait for each."""

Penalty = Callable[[], Tensor]
Course = Callable[[int], float]


class Loop:
    """A network in training: what of it, at which rates, on which device, and how far it is.

    Attributes:
        steps: Optimizer steps so far.
        epochs: Passes so far.
        shown: Images that entered a gradient so far, each time counted.
    """

    def __init__(self, network: Network, groups: Sequence[Group], training: Training, contract: InputContract, *,
                 seed: int, device: torch.device, meter: Meter, stage: str = "") -> None:
        place(network, device)
        self.network, self.training, self.contract = network, training, contract
        self.device, self.meter, self.stage = device, meter, stage
        self.optimizer = build(groups, training)
        self.generator = torch.Generator().manual_seed(seed)
        self.loss = LOSSES[training.loss]
        self.augment = AUGMENTATIONS[training.augment or "none"]
        weights = [weight for each in groups for weight in each.weights]
        self.penalties: list[Penalty] = [lambda: training.l2 * squared_norm(weights)] if training.l2 else []
        self.steps = self.epochs = self.shown = 0
        self.seconds = 0.0

    def epoch(self, train: Samples, course: Course) -> float:
        """Shows each image once.

        Args:
            train: What to train on.
            course: Step number, from 0 and over all epochs, to the factor on the peak rates.

        Returns:
            The mean loss, penalties included.

        Raises:
            DivergedError: A loss is NaN, infinite or over `BOUND`; names epoch and batch.
            RefusedError: Batch norm in training would see batches of one.
        """
        began = time.perf_counter()
        self.epochs += 1
        train_mode(self.network)
        self._refuse_single(len(train))
        whole = self.training.optimizer == "gd"  # a step then sees the whole split, its gradient summed up in parts
        losses: list[Tensor] = []
        seen = 0
        for places in shuffled(len(train), self.training.batch_size, self.generator):
            if not whole or not losses:
                set_rate(self.optimizer, course(self.steps))
                self.optimizer.zero_grad()
            loss, total = self._forward(train, places)
            (total * (len(places) / len(train)) if whole else total).backward()  # type: ignore[no-untyped-call]
            losses.append(torch.stack([loss.detach(), total.detach()]))
            if not whole:
                self._step()
            self.shown += len(places)
            seen += len(places)
            self._glance(losses, len(places), last=seen == len(train))
        if whole:
            self._step()
        self.seconds += time.perf_counter() - began
        return float(torch.stack(losses)[:, 1].mean())

    def record(self, train_loss: float, val: Samples | None) -> Epoch:
        """Looks at validation and returns the learning curve's next point."""
        began = time.perf_counter()
        point = Epoch(stage=self.stage, epoch=self.epochs, train_loss=train_loss, seconds=self.seconds,
                      presentations=self.shown, learning_rate=self.optimizer.param_groups[0]["lr"])
        if val is not None and len(val):
            found = score(outputs(self.network, val, self.contract, self.device), val.labels, self.training.loss)
            point = point.model_copy(update={"val_loss": found.loss, "val_accuracy": found.accuracy})
            self.meter.advance(0, self._words(), val_accuracy=found.accuracy, val_loss=found.loss)
        self.seconds += time.perf_counter() - began
        return point

    def _forward(self, train: Samples, places: Rows) -> tuple[Tensor, Tensor]:
        images = train.images(places).to(self.device)
        labels = train.targets(places).to(self.device)
        inputs = as_input(self.augment(prepare(images, self.contract), self.generator))
        loss = self.loss(self.network(inputs), labels, self.training.label_smoothing or 0.0)
        return loss, sum((penalty() for penalty in self.penalties), start=loss)

    def _step(self) -> None:
        self.optimizer.step()
        self.steps += 1

    def _glance(self, losses: list[Tensor], images: int, *, last: bool) -> None:
        every = 1 if self.device.type == "cpu" else GLANCE
        if len(losses) % every and not last:
            self.meter.advance(images, self._words())
            return
        first = max(0, len(losses) - every)
        for number, (loss, total) in enumerate(torch.stack(losses[first:]).tolist(), start=first + 1):
            if not math.isfinite(total) or loss > BOUND:
                where = f"{self.stage}: " if self.stage else ""
                raise DivergedError(f"{where}diverged: loss {total:.4g} in epoch {self.epochs}, batch {number}, "
                                    f"expected at most {BOUND:g}; set a learning_rate below {self._peak():.3g}")
        self.meter.advance(images, self._words(), loss=total)

    def _peak(self) -> float:
        return max(float(each["peak"]) for each in self.optimizer.param_groups)

    def _words(self) -> str:
        return ", ".join(part for part in (self.stage, f"epoch {self.epochs}") if part)

    def _refuse_single(self, count: int) -> None:
        if min(high - low for low, high in cut(count, self.training.batch_size)) > 1:
            return
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training for part in self.network.modules()):
            raise RefusedError(f"batch_size: {self.training.batch_size} with {count} training images gives batches of "
                               "one image, of which batch norm has no statistics; expected at least 2 images a batch")


def fit(loop: Loop, train: Samples, val: Samples | None, epochs: int) -> list[Epoch]:
    """Trains for a number of epochs by the configured schedule.

    Args:
        loop: A fresh one.
        train: What to train on, at least one image.
        val: Looked at after each epoch, for the curve alone; None or empty: not at all.
        epochs: Passes.

    Returns:
        The learning curve, one point an epoch. The weights are those of the last step.
    """
    batches = 1 if loop.training.optimizer == "gd" else len(cut(len(train), loop.training.batch_size))
    steps = epochs * batches
    return [loop.record(loop.epoch(train, lambda step: factor(step, steps, loop.training.schedule)), val)
            for _ in range(epochs)]
