"""Gradients of one batch: input, forward pass, loss and penalties, in micro-batches if memory is short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from graftline.config import Training
from graftline.models.devices import as_input, is_out_of_memory, is_tiny, lay_out, random_state, sent, set_random_state
from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.runtime import events
from graftline.training.batches.augment import AUGMENTATIONS
from graftline.training.batches.balance import class_weights, training_loss
from graftline.training.batches.mixing import make_mixer
from graftline.training.batches.prefetch import Prefetcher
from graftline.training.batches.samples import Indices, Samples, batch_bounds
from graftline.training.processes import distributed, probe
from graftline.training.processes.compiling import compile_forward


@dataclass(frozen=True)
class Batch:
    """A batch, or a micro-batch of it, as a loss or a penalty receives it."""

    inputs: Tensor
    """(B, C, H, W), normalized and augmented."""
    features: Tensor
    """(B, D), from the backbone."""
    logits: Tensor
    """(B, K)."""
    labels: Tensor
    """int64 (B,), or float (B, K) for soft labels or values."""


Criterion = Callable[[Batch], Tensor]
"""Maps a batch to its mean loss over images."""
Penalty = Callable[[Batch], Tensor]
"""Maps a batch to a term that is added to the loss."""


@dataclass(frozen=True)
class LossTerms:
    """What training minimizes in addition to, or instead of, the configured loss."""

    criterion: Criterion | None = None
    """Replaces the configured loss."""
    penalties: Sequence[Penalty] = ()


class Stepper:
    """Computes gradients of batches on one device.

    Attributes:
        trained: The weights that get gradients.
        micro_batch: Number of images per forward pass; None: the entire batch.
        features: The backbone's forward function.
        setting: Memory layout and precision; `setup` chooses those that the config leaves open.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        contract: InputContract,
        device: torch.device,
        *,
        trained: Sequence[nn.Parameter] | None = None,
        loss: LossTerms = LossTerms(),
    ) -> None:
        self.network, self.training, self.contract, self.device = network, training, contract, device
        self.criterion = loss.criterion or self._configured_loss
        self.penalties = list(loss.penalties)
        self.augment = AUGMENTATIONS[training.augment or "none"]
        self.mix = make_mixer(training, network)
        self.loss = training_loss(training.loss, network.objective, None)
        self.trained = list(network.parameters() if trained is None else trained)
        self.features = compile_forward(network.backbone) if training.compile else network.backbone
        self.micro_batch = training.micro_batch
        self.setting = probe.candidate_settings(training)[0]
        self.prefetcher = Prefetcher(device)
        self._has_setting, self._largest_batch = False, 0
        lay_out(network, self.setting.layout)

    def setup(self, train: Samples) -> None:
        """Prepares for an epoch: computes class weights, and before the first one chooses layout and precision."""
        if self.training.balance == "weights":
            self.loss = training_loss(self.training.loss, self.network.objective, class_weights(train.labels))
        if not self._has_setting:
            self._has_setting = True
            self._probe_setting(train)

    def compute_gradients(self, train: Samples, indices: Indices, generator: Generator, share: float = 1.0) -> Tensor:
        """Adds a batch's gradients to the weights' gradients; halves the micro-batch if memory runs out.

        Args:
            train: Training samples.
            indices: (B,) into the samples.
            generator: Draws the augmentation, on the CPU.
            share: Factor on the gradients.

        Returns:
            (2,): the mean loss without and with penalties, detached.
        """
        accumulated = [weight.grad for weight in self.trained]
        generator_state, dropout_state = generator.get_state(), random_state(self.device)
        while True:
            for weight in self.trained:
                weight.grad = None
            statistics = self._copy_statistics(len(indices))
            losses, error = self._try_gradients(train, indices, generator, share)
            if distributed.world_size() > 1:
                own = distributed.batch_share(len(indices))[2]
                losses = distributed.sum_gradients(self.trained, self.network, losses, own, self.device)
            if losses is not None:
                break
            _restore_statistics(statistics)
            generator.set_state(generator_state)
            set_random_state(self.device, dropout_state)
            self._halve_micro_batch(len(indices), error)
        self._largest_batch = max(self._largest_batch, len(indices))
        for weight, gradient in zip(self.trained, accumulated, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else gradient.add_(weight.grad)
        return losses

    def _try_gradients(
        self, train: Samples, indices: Indices, generator: Generator, share: float
    ) -> tuple[Tensor | None, BaseException | None]:
        """Returns this process's losses, or None and the error if memory ran out.

        Raises:
            MemoryError: Memory ran out while other processes wait for this one in a synchronized batch norm.
        """
        try:
            return self.accumulate_gradients(train, indices, generator, share), None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if distributed.has_sync_batch_norm(self.network):
                raise MemoryError(
                    "out of memory; synchronized batch norm prevents one process from retrying with smaller "
                    f"micro-batches; set training.micro_batch ({str(error).partition(chr(10))[0]})"
                ) from error
            return None, error.with_traceback(None)  # the traceback's frames hold the memory

    def accumulate_gradients(self, train: Samples, indices: Indices, generator: Generator, share: float) -> Tensor:
        """Adds the gradients of this process's share of a batch, without handling a lack of memory.

        Arguments and result are those of `compute_gradients`; the losses are weighted by the share of the batch.
        """
        inputs = self.inputs(train, indices, generator)
        inputs, labels = self.mix(inputs, sent(train.targets(indices), self.device), generator)
        first, end, weight = distributed.batch_share(len(indices))
        losses = torch.zeros(2, device=self.device)
        with distributed.per_process_random_state(self.device):
            for low, high in distributed.share_bounds(len(indices), self.micro_batch, self.network):
                part = weight * (high - low) / (end - first)
                batch = self.forward(inputs[first + low : first + high], labels[first + low : first + high])
                loss = self.criterion(batch)
                total = sum((penalty(batch) for penalty in self.penalties), start=loss)
                (total * (part * share)).backward()  # type: ignore[no-untyped-call]
                losses += part * torch.stack([loss.detach(), total.detach()])
        return losses

    def _halve_micro_batch(self, images: int, error: BaseException | None) -> None:
        """Halves the number of images per forward pass.

        Raises:
            RuntimeError: It cannot be smaller; the allocator's own error if memory ran out in this process.
        """
        processes = distributed.world_size()
        largest_share = images if images < 2 * processes else -(-images // processes)  # equal in all processes
        smallest = 2 if any(_is_training_batch_norm(module) for module in self.network.modules()) else 1
        current = min(self.micro_batch or images, largest_share)
        if current // 2 < smallest:
            raise error or RuntimeError("can't allocate memory: another process ran out of it")
        self.micro_batch = current // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        events.log(
            f"out of memory with {current} images per forward pass; retrying with micro-batches of "
            f"{self.micro_batch}, gradients accumulated over each batch of {images}; set "
            f"`training.micro_batch: {self.micro_batch}` to start with this size"
        )

    def _copy_statistics(self, images: int) -> list[tuple[Tensor, Tensor]]:
        """Returns running statistics and copies of them if the batch is larger than any before, so may not fit."""
        if images <= self._largest_batch:
            return []
        return [(buffer, buffer.clone()) for buffer in self.network.buffers()]

    def _probe_setting(self, train: Samples) -> None:
        """Chooses layout and precision if the config leaves them open and the training is long enough."""
        candidates = probe.candidate_settings(self.training)
        size = min(-(-self.training.batch_size // distributed.world_size()), len(train))
        steps = (self.training.epochs or 1) * len(batch_bounds(len(train), self.training.batch_size))
        if len(candidates) < 2 or steps < probe.MIN_STEPS or is_tiny(self.network, self.contract):
            return
        indices = np.arange(min(self.micro_batch or size, size, max(probe.MIN_IMAGES, size // 2)))
        inputs = self.inputs(train, indices, Generator().manual_seed(0))
        labels = train.targets(indices).to(self.device)

        def step(setting: probe.ComputeSetting) -> Tensor:
            self._apply(setting)
            loss = self.criterion(self.forward(as_input(inputs, setting.layout), labels))
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        trained = [weight for weight in self.trained if weight.requires_grad]
        self._apply(probe.choose_setting(self.network, trained, step, candidates, inputs=inputs))

    def _apply(self, setting: probe.ComputeSetting) -> None:
        if setting.layout != self.setting.layout:
            lay_out(self.network, setting.layout)
        self.setting = setting

    def inputs(self, train: Samples, indices: Indices, generator: Generator) -> Tensor:
        """Returns the network's input of a batch, augmented."""
        images = self.prefetcher.get(train, indices)
        return as_input(self.augment(prepare(images, self.contract), generator), self.setting.layout)

    def forward(self, inputs: Tensor, labels: Tensor) -> Batch:
        """Runs the network; features and logits are float32 at any precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.setting.precision == "bf16"):
            features = self.features(inputs)
            logits = self.network.head(features)
        return Batch(inputs, features.float(), logits.float(), labels)

    def _configured_loss(self, batch: Batch) -> Tensor:
        return self.loss(batch.logits, batch.labels, self.training.label_smoothing or 0.0)

    def settings(self) -> dict[str, Any]:
        """Returns, as JSON, the settings chosen during training that a resumed training has to use."""
        return {"micro_batch": self.micro_batch, "layout": self.setting.layout, "precision": self.setting.precision}

    def apply_settings(self, settings: dict[str, Any]) -> None:
        """Applies the result of `settings`, before the first step."""
        self._has_setting = True
        self.micro_batch = settings["micro_batch"]
        self._apply(probe.ComputeSetting(settings["layout"], settings["precision"]))

    @property
    def note(self) -> str:
        """Description of settings that differ from the defaults; empty if none does."""
        default = probe.ComputeSetting()
        parts = [
            value
            for value, usual in (
                (self.setting.precision, default.precision),
                (self.setting.layout, default.layout),
            )
            if value != usual
        ]
        if self.micro_batch is not None:
            parts.append(f"micro-batches of {self.micro_batch}")
        if self.training.compile:
            parts.append("compiled code")
        return f"computed in {', '.join(parts)}" if parts else ""


def _is_training_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training


def _restore_statistics(copies: list[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for buffer, copy in copies:
            buffer.copy_(copy)
