"""The training loop: optimizer steps over epochs, with a check for divergence."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graftline.config import Training
from graftline.models.checkpoint import EpochRecord
from graftline.models.devices import place
from graftline.models.input_contract import InputContract
from graftline.models.network import Network
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.training.batches.balance import training_batches
from graftline.training.batches.losses import squared_norm
from graftline.training.batches.samples import Indices, Samples, batch_bounds
from graftline.training.loop.averaging import WeightAverage
from graftline.training.loop.freezing import train_mode
from graftline.training.loop.optimizer import ParameterGroup, build_optimizer, set_lr
from graftline.training.loop.schedule import LRSchedule
from graftline.training.loop.stepper import LossTerms, Penalty, Stepper
from graftline.training.processes import distributed
from graftline.training.progress import Progress
from graftline.training.validation import outputs, score

MAX_LOSS = 1e4
"""A loss above this has diverged; the loss of an untrained network is about log K."""
GPU_LOSS_INTERVAL = 16
"""Steps between two checks of the loss on a GPU: each check waits for the device."""


@dataclass(frozen=True)
class TrainingStage:
    """One stage of a training: its seed, its device, and where it reports progress."""

    seed: int
    device: torch.device
    progress: Progress
    name: str = ""
    """Name in the journal, the learning curve and messages."""


class TrainingLoop:
    """A network with its optimizer, and the counters of its training.

    Attributes:
        steps: Optimizer steps so far.
        epochs: Epochs started so far.
        examples_seen: Training images seen so far, counted once per epoch.
        batches_done: Batches completed in the current epoch; `losses` holds their losses, and `order_state` the
            generator state from which their order was drawn.
        is_finished: Whether training is complete, by its epochs or by early stopping.
        diverged: Why training diverged, or ''; the network then has the weights of the last good epoch.
        average: Moving average of the weights, if configured.
    """

    def __init__(
        self,
        network: Network,
        groups: Sequence[ParameterGroup],
        training: Training,
        contract: InputContract,
        stage: TrainingStage,
        loss: LossTerms = LossTerms(),  # noqa: B008
    ) -> None:
        place(network, stage.device)
        distributed.convert_batch_norm(network, stage.device)
        self.network, self.training, self.contract = network, training, contract
        self.device, self.progress, self.stage = stage.device, stage.progress, stage.name
        self.optimizer = build_optimizer(groups, training)
        self.generator = torch.Generator().manual_seed(stage.seed)
        weights = [weight for group in groups for weight in group.weights]
        penalties = [*([_l2(training.l2, weights)] if training.l2 else []), *loss.penalties]
        self.stepper = Stepper(
            network, training, contract, stage.device, trained=weights, loss=LossTerms(loss.criterion, penalties)
        )
        self.average = WeightAverage(network, training.ema) if training.ema else None
        self.steps = self.epochs = self.examples_seen = self.batches_done = 0
        self.losses: list[Tensor] = []
        self.order_state = self.generator.get_state()
        self.seconds, self._started = 0.0, time.perf_counter()
        self.is_finished, self.diverged = False, ""

    def epoch(self, train: Samples, schedule: LRSchedule, after_step: Callable[[], None] | None = None) -> float:
        """Trains for one epoch, or for the rest of an interrupted one.

        Args:
            train: Training samples; each is used once (with a sampler, as many are drawn).
            schedule: Maps the step number, counted over all epochs, to the factor on the peak learning rates.
            after_step: Called after each step, when the state can be saved.

        Returns:
            The mean loss, penalties included.

        Raises:
            DivergedError: A loss is NaN, infinite or above `MAX_LOSS`; names epoch and batch.
            RefusedError: Batch norm in training mode would receive batches of one image.
        """
        train_mode(self.network)
        self._check_batch_norm(len(train))
        self.stepper.setup(train)
        self._started = time.perf_counter()
        is_full_gradient = self.training.optimizer == "gd"  # one step per epoch, its gradient summed over batches
        for indices, is_last in self._remaining_batches(train):
            if not is_full_gradient or not self.losses:
                set_lr(self.optimizer, schedule(self.steps))
                self.optimizer.zero_grad()
            share = len(indices) / len(train) if is_full_gradient else 1.0
            self.losses.append(self.stepper.compute_gradients(train, indices, self.generator, share))
            self.batches_done += 1
            self.examples_seen += len(indices)
            self._check_losses(len(indices), is_last=is_last)
            if is_last or not is_full_gradient:
                self._step()
            if after_step is not None and not (is_last or is_full_gradient):
                self._update_seconds()
                after_step()
        mean = float(torch.stack(self.losses)[:, 1].mean())
        self.batches_done, self.losses = 0, []
        self._update_seconds()
        return mean

    def record(self, train_loss: float, val: Samples | None) -> EpochRecord:
        """Validates, with the averaged weights if there are any, and returns the epoch's point of the curve."""
        self._started = time.perf_counter()
        point = EpochRecord(
            stage=self.stage,
            epoch=self.epochs,
            train_loss=train_loss,
            seconds=self.seconds,
            examples_seen=self.examples_seen,
            learning_rate=self.optimizer.param_groups[0]["lr"],
        )
        if val is not None and len(val):
            with self.averaged():
                logits = outputs(self.network, val, self.contract, self.device)
            result = distributed.broadcast(score(logits, val.labels, self.training.loss, self.network.objective))
            point = point.model_copy(update=result.point)
            self.progress.advance(0, self._message(), **result.progress_values, val_loss=result.loss)
        self._update_seconds()
        return point

    def averaged(self) -> AbstractContextManager[None]:
        """Gives the network the averaged weights inside the context, if there are any."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def _remaining_batches(self, train: Samples) -> Iterator[tuple[Indices, bool]]:
        """Yields the batches of a new epoch or of the rest of an interrupted one, each with whether it is the last."""
        state = self.generator.get_state()
        if self.batches_done:
            self.generator.set_state(self.order_state)
        else:
            self.epochs += 1
            self.order_state = state
        batches = list(training_batches(train.labels, self.training.batch_size, self.generator, self.training.balance))
        if self.batches_done:
            self.generator.set_state(state)
        for number in range(self.batches_done, len(batches)):
            for following in batches[number + 1 : number + 2]:
                self.stepper.prefetcher.start(train, following)
            yield batches[number], number + 1 == len(batches)

    def _step(self) -> None:
        self.optimizer.step()
        self.steps += 1
        if self.average is not None:
            self.average.update()

    def _update_seconds(self) -> None:
        now = time.perf_counter()
        self.seconds, self._started = self.seconds + now - self._started, now

    def _check_losses(self, images: int, *, is_last: bool) -> None:
        interval = 1 if self.device.type == "cpu" else GPU_LOSS_INTERVAL
        if len(self.losses) % interval and not is_last:
            self.progress.advance(images, self._message())
            return
        first = max(0, len(self.losses) - interval)
        for number, (loss, total) in enumerate(torch.stack(self.losses[first:]).tolist(), start=first + 1):
            if not math.isfinite(total) or loss > MAX_LOSS:
                stage = f"{self.stage}: " if self.stage else ""
                peak = max(float(group["peak_lr"]) for group in self.optimizer.param_groups)
                raise DivergedError(
                    f"{stage}diverged: loss {total:.4g} in epoch {self.epochs}, batch {number}, "
                    f"expected at most {MAX_LOSS:g}; set a learning_rate below {peak:.3g}"
                )
        self.progress.advance(images, self._message(), loss=total)

    def _message(self) -> str:
        return ", ".join(part for part in (self.stage, f"epoch {self.epochs}") if part)

    def _check_batch_norm(self, num_images: int) -> None:
        if min(high - low for low, high in batch_bounds(num_images, self.training.batch_size)) > 1:
            return
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in self.network.modules()):
            raise RefusedError(
                f"batch_size: {self.training.batch_size} with {num_images} training images gives batches of "
                "one image, for which batch norm cannot compute statistics; expected at least 2 images per batch"
            )


def _l2(strength: float, weights: list[nn.Parameter]) -> Penalty:
    return lambda batch: strength * squared_norm(weights)
