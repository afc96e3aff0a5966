"""One batch to gradients: images in, the network forward, loss and penalties back, part by part if memory is short."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from graftline.backbones import Network, prepare
from graftline.checkpoint import InputContract
from graftline.config import Training
from graftline.training.augment import AUGMENTATIONS
from graftline.training.batches import Rows, Samples, cut
from graftline.training.devices import as_input
from graftline.training.losses import LOSSES


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
    """Computes gradients of a batch on one device."""

    def __init__(self, network: Network, training: Training, contract: InputContract, device: torch.device, *,
                 criterion: Criterion | None = None, penalties: Sequence[Penalty] = ()) -> None:
        self.network, self.training, self.contract, self.device = network, training, contract, device
        self.criterion = criterion or self._own_loss
        self.penalties = list(penalties)
        self.augment = AUGMENTATIONS[training.augment or "none"]
        self.micro_batch = training.micro_batch

    def gradients(self, train: Samples, places: Rows, generator: Generator, share: float = 1.0) -> Tensor:
        """Adds a batch's gradients to those that the weights have.

        Args:
            train: What to train on.
            places: (B,) into it.
            generator: Draws the augmentation, on the CPU.
            share: Factor on the gradients.

        Returns:
            (2,): the mean loss, and the same with penalties, both without gradient.
        """
        inputs = self.inputs(train, places, generator)
        labels = train.targets(places).to(self.device)
        told = torch.zeros(2, device=self.device)
        for low, high in cut(len(places), self.micro_batch or len(places)):
            part = (high - low) / len(places)
            batch = self.forward(inputs[low:high], labels[low:high])
            loss = self.criterion(batch)
            total = sum((penalty(batch) for penalty in self.penalties), start=loss)
            (total * (part * share)).backward()  # type: ignore[no-untyped-call]
            told += part * torch.stack([loss.detach(), total.detach()])
        return told

    def inputs(self, train: Samples, places: Rows, generator: Generator) -> Tensor:
        """Returns the network's input of a batch, augmented."""
        images = train.images(places).to(self.device)
        return as_input(self.augment(prepare(images, self.contract), generator))

    def forward(self, inputs: Tensor, labels: Tensor) -> Batch:
        """Runs the network."""
        features = self.network.backbone(inputs)
        return Batch(inputs, features, self.network.head(features), labels)

    def _own_loss(self, batch: Batch) -> Tensor:
        return LOSSES[self.training.loss](batch.logits, batch.labels, self.training.label_smoothing or 0.0)

    def chosen(self) -> dict[str, Any]:
        """Returns what was chosen on the way and has to be the same when a training goes on elsewhere, as JSON."""
        return {"micro_batch": self.micro_batch}

    def choose(self, chosen: dict[str, Any]) -> None:
        """Takes what `chosen` once said."""
        self.micro_batch = chosen["micro_batch"]
