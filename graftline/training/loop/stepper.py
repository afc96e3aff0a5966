"""One batch to gradients: images in, the network forward, loss and penalties back, part by part if memory is short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from graftline.config import Training
from graftline.models.checkpoint import InputContract
from graftline.models.devices import as_input, is_out_of_memory, is_tiny, lay_out, random_state, sent, set_random_state
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.runtime import events
from graftline.training.batches.augment import AUGMENTATIONS
from graftline.training.batches.balance import class_weights, training_loss
from graftline.training.batches.mixing import mixer
from graftline.training.batches.prefetch import Prefetcher
from graftline.training.batches.samples import Indices, Samples, cut
from graftline.training.processes import distributed, probe
from graftline.training.processes.compiling import compiled


@dataclass(frozen=True)
class Batch:
    """What a loss or a penalty sees of a batch, or of the part of it that is in memory."""

    inputs: Tensor
    """(B, c, h, w), normalised, augmented."""
    features: Tensor
    """(B, D), of the backbone."""
    logits: Tensor
    """(B, K)."""
    labels: Tensor
    """int64 (B,), or float (B, K) where labels are shares or values."""


Criterion = Callable[[Batch], Tensor]
"""A batch to its mean loss over images."""
Penalty = Callable[[Batch], Tensor]
"""A batch to what is added to the loss."""


class Stepper:
    """Computes gradients of a batch on one device.

    Attributes:
        trained: The weights that get gradients.
        micro_batch: Images that go through the network at once; None: the whole batch.
        features: The backbone's forward function.
        setting: Memory layout and precision; what is not set by hand is chosen before the first pass.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        contract: InputContract,
        device: torch.device,
        *,
        trained: Sequence[nn.Parameter] | None = None,
        criterion: Criterion | None = None,
        penalties: Sequence[Penalty] = (),
    ) -> None:
        self.network, self.training, self.contract, self.device = network, training, contract, device
        self.criterion = criterion or self._own_loss
        self.penalties = list(penalties)
        self.augment = AUGMENTATIONS[training.augment or "none"]
        self.mix = mixer(training, network)
        self.loss = training_loss(training.loss, network.objective, None)
        self.trained = list(network.parameters() if trained is None else trained)
        self.features = compiled(network.backbone) if training.compile else network.backbone
        self.micro_batch = training.micro_batch
        self.setting = probe.settings(training)[0]
        self.ahead = Prefetcher(device)
        self._settled, self._most = False, 0
        lay_out(network, self.setting.layout)

    def begin(self, train: Samples) -> None:
        """Looks at what is trained on, before a pass: the classes' weights in the loss follow from it.

        Before the first pass it also chooses memory layout and precision.
        """
        if self.training.balance == "weights":
            self.loss = training_loss(self.training.loss, self.network.objective, class_weights(train.labels))
        if not self._settled:
            self._settled = True
            self._settle(train)

    def gradients(self, train: Samples, places: Indices, generator: Generator, share: float = 1.0) -> Tensor:
        """Adds a batch's gradients to those that the weights have.

        Args:
            train: What to train on.
            places: (B,) into it.
            generator: Draws the augmentation, on the CPU.
            share: Factor on the gradients.

        Returns:
            (2,): the mean loss, and the same with penalties, both without gradient.
        """
        before = [weight.grad for weight in self.trained]
        drawn, dropped = generator.get_state(), random_state(self.device)
        while True:
            for weight in self.trained:
                weight.grad = None
            statistics = self._statistics(len(places))
            told, short = self._try(train, places, generator, share)
            if distributed.count() > 1:
                told = distributed.add_up(
                    self.trained, self.network, told, distributed.share(len(places))[2], self.device
                )
            if told is not None:
                break
            _put_back(statistics)
            generator.set_state(drawn)
            set_random_state(self.device, dropped)
            self._halve(len(places), short)
        self._most = max(self._most, len(places))
        for weight, gradient in zip(self.trained, before, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else gradient.add_(weight.grad)
        return told

    def _try(
        self, train: Samples, places: Indices, generator: Generator, share: float
    ) -> tuple[Tensor | None, BaseException | None]:
        """Puts this process's part of a batch's gradients into the weights; returns the losses, or lack of memory.

        Raises:
            MemoryError: Memory ran out while other processes wait for this one inside of the network.
        """
        try:
            return self._parts(train, places, generator, share), None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if distributed.meets(self.network):
                raise MemoryError(
                    "out of memory, and batch norm over all GPUs keeps one of them from trying again by "
                    f"itself; set training.micro_batch ({str(error).partition(chr(10))[0]})"
                ) from error
            return None, error.with_traceback(None)  # its frames hold what filled the memory

    def _parts(self, train: Samples, places: Indices, generator: Generator, share: float) -> Tensor:
        inputs = self.inputs(train, places, generator)
        inputs, labels = self.mix(inputs, sent(train.targets(places), self.device), generator)
        first, end, weight = distributed.share(len(places))
        told = torch.zeros(2, device=self.device)
        with distributed.own_draws(self.device):
            for low, high in distributed.cuts(len(places), self.micro_batch, self.network):
                part = weight * (high - low) / (end - first)
                batch = self.forward(inputs[first + low : first + high], labels[first + low : first + high])
                loss = self.criterion(batch)
                total = sum((penalty(batch) for penalty in self.penalties), start=loss)
                (total * (part * share)).backward()  # type: ignore[no-untyped-call]
                told += part * torch.stack([loss.detach(), total.detach()])
        return told

    def _halve(self, images: int, short: BaseException | None) -> None:
        """Takes half as many images at once.

        Raises:
            RuntimeError: There are no fewer; it is the allocator's own, where it was this process that ran out.
        """
        many = distributed.count()
        largest = images if images < 2 * many else -(-images // many)  # of all shares: parts are alike in all processes
        least = 2 if any(_normalises(part) for part in self.network.modules()) else 1
        now = min(self.micro_batch or images, largest)
        if now // 2 < least:
            raise short or RuntimeError("can't allocate memory: another process ran out of it")
        self.micro_batch = now // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        events.log(
            f"out of memory with {now} images at once; on with {self.micro_batch} at once, gradients summed up "
            f"over each batch of {images}; `training.micro_batch: {self.micro_batch}` starts with it"
        )

    def _statistics(self, images: int) -> list[tuple[Tensor, Tensor]]:
        """Running statistics and their copies, for a batch larger than any that went through so far."""
        if images <= self._most:
            return []
        return [(buffer, buffer.clone()) for buffer in self.network.buffers()]

    def _settle(self, train: Samples) -> None:
        """Chooses layout and precision, where they are open and the training is long enough for it to pay."""
        among = probe.settings(self.training)
        size = min(-(-self.training.batch_size // distributed.count()), len(train))
        steps = (self.training.epochs or 1) * len(cut(len(train), self.training.batch_size))
        if len(among) < 2 or steps < probe.LEAST_STEPS or is_tiny(self.network, self.contract):
            return
        places = np.arange(min(self.micro_batch or size, size, max(probe.LEAST_IMAGES, size // 2)))
        inputs = self.inputs(train, places, Generator().manual_seed(0))
        labels = train.targets(places).to(self.device)

        def step(setting: probe.Setting) -> Tensor:
            self._take(setting)
            loss = self.criterion(self.forward(as_input(inputs, setting.layout), labels))
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        self._take(probe.choose(self.network, [w for w in self.trained if w.requires_grad], step, among, inputs=inputs))

    def _take(self, setting: probe.Setting) -> None:
        if setting.layout != self.setting.layout:
            lay_out(self.network, setting.layout)
        self.setting = setting

    def inputs(self, train: Samples, places: Indices, generator: Generator) -> Tensor:
        """Returns the network's input of a batch, augmented."""
        images = self.ahead.take(train, places)
        return as_input(self.augment(prepare(images, self.contract), generator), self.setting.layout)

    def forward(self, inputs: Tensor, labels: Tensor) -> Batch:
        """Runs the network; what a loss or a penalty sees has 32 bits whatever the precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            features = self.features(inputs)
            logits = self.network.head(features)
        return Batch(inputs, features.float(), logits.float(), labels)

    def _own_loss(self, batch: Batch) -> Tensor:
        return self.loss(batch.logits, batch.labels, self.training.label_smoothing or 0.0)

    def chosen(self) -> dict[str, Any]:
        """Returns what was chosen on the way and has to be the same when a training goes on elsewhere, as JSON."""
        return {"micro_batch": self.micro_batch, "layout": self.setting.layout, "precision": self.setting.precision}

    def choose(self, chosen: dict[str, Any]) -> None:
        """Takes what `chosen` once said, before the first step."""
        self._settled = True
        self.micro_batch = chosen["micro_batch"]
        self._take(probe.Setting(chosen["layout"], chosen["precision"]))

    @property
    def note(self) -> str:
        """What of it a reader would not expect, in words; empty where all is as usual."""
        chosen, usual = self.setting, probe.Setting()
        words = [
            word
            for word, other in ((chosen.precision, usual.precision), (chosen.layout, usual.layout))
            if word != other
        ]
        if self.micro_batch is not None:
            words.append(f"{self.micro_batch} images at once")
        if self.training.compile:
            words.append("compiled code")
        return f"computed in {', '.join(words)}" if words else ""


def _normalises(part: nn.Module) -> bool:
    return isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training


def _put_back(kept: list[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for buffer, before in kept:
            buffer.copy_(before)
