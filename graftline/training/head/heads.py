"""Fitting a head to convergence on the features of a frozen backbone."""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from graftline.config import Training
from graftline.models.checkpoint import EpochRecord
from graftline.models.devices import seeded, sent, threads_for
from graftline.models.head import Scale
from graftline.models.objective import Objective
from graftline.runtime.errors import DivergedError
from graftline.training.batches.balance import class_weights, training_loss
from graftline.training.batches.losses import loss_of, squared_norm
from graftline.training.batches.samples import batch_bounds, shuffled_batches
from graftline.training.head import linear
from graftline.training.loop.optimizer import build_optimizer, parameter_group, set_lr
from graftline.training.loop.schedule import lr_factor
from graftline.training.progress import Progress
from graftline.training.recipe import rates

MIN_STEPS_PER_EPOCH = 8
"""Steps per epoch on cached features if there are enough images: steps are cheap, and small splits need them."""


@dataclass(frozen=True)
class FeatureSet:
    """Cached features of the training images and their labels."""

    features: Tensor
    """float32 (N, D); with several views per image, all first views, then all second views, and so on."""
    labels: Tensor
    """int64 (N,); for multilabel (N, K), for regression (N, D) in their own units."""
    objective: Objective = field(default_factory=Objective)
    """Meaning of the labels."""
    views: int = 1
    """Rows per image."""


@dataclass(frozen=True)
class HeadFit:
    """Result of fitting a head."""

    history: list[EpochRecord]
    iterations: int
    """Passes over the training images."""
    note: str
    lr: float | None = None

    def values(self) -> dict[str, Any]:
        """Returns the result as JSON."""
        return {**vars(self), "history": [point.model_dump() for point in self.history]}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "HeadFit":
        """Returns the result from the JSON of `values`."""
        return cls(**{**values, "history": [EpochRecord.model_validate(point) for point in values["history"]]})


def fit_head(
    head: nn.Module, data: FeatureSet, training: Training, *, iterations: int, seed: int, progress: Progress
) -> HeadFit:
    """Fits a head in place: a linear layer in closed form (regression) or by L-BFGS, other heads by the optimizer.

    Args:
        head: From `new_head`, on the features' device.
        data: Features and labels.
        training: Loss, smoothing, l2; for hidden layers also optimizer, learning rate, decay, batch size, schedule.
        iterations: Maximum number of passes.
        seed: Draws folds, batches and dropout.
        progress: Receives the loss of the passes.

    Raises:
        DivergedError: Features, loss or weights are not finite.
    """
    parts = [part for part in head.modules() if not isinstance(part, nn.Sequential | Scale)]
    with seeded(seed, "head"):
        if len(parts) == 1 and isinstance(parts[0], nn.Linear):
            return _fit_linear_head(head, parts[0], data, training, iterations, seed, progress)
        with threads_for(training.batch_size * sum(weight.numel() for weight in head.parameters())):
            return _fit_hidden_head(head, data, training, iterations, seed, progress)


def _fit_linear_head(
    head: nn.Module,
    layer: nn.Linear,
    data: FeatureSet,
    training: Training,
    iterations: int,
    seed: int,
    progress: Progress,
) -> HeadFit:
    started = time.perf_counter()
    problem = linear.LinearProblem(
        layer.out_features,
        training.loss,
        training.label_smoothing or 0.0,
        iterations,
        data.objective,
        _loss_weights(data.labels, training),
        data.views,
    )
    best, taken, l2 = linear.fit_linear(data.features, data.labels, problem, l2=training.l2, seed=seed)
    layer.load_state_dict(best.state_dict())
    with torch.no_grad():
        criterion = loss_of(training.loss, data.objective)
        loss = float(criterion(head(data.features), data.labels, training.label_smoothing or 0.0))
    progress.advance(0, "head", loss=loss)
    point = EpochRecord(
        stage="head",
        epoch=taken,
        train_loss=loss,
        examples_seen=taken * len(data.features),
        seconds=time.perf_counter() - started,
    )
    origin = "given" if training.l2 else "chosen by cross-validation on train"
    method = f"{taken} L-BFGS iterations" if problem.is_iterative else "ridge regression in closed form"
    return HeadFit([point], taken, f"head: {method}, l2 {l2:.3g} {origin}")


def _loss_weights(labels: Tensor, training: Training) -> Tensor | None:
    # A sampler does not apply to full-batch fits, so class weights in the loss replace it.
    return class_weights(labels.cpu().numpy()) if training.balance in ("weights", "sampler") else None


def _fit_hidden_head(
    head: nn.Module, data: FeatureSet, training: Training, iterations: int, seed: int, progress: Progress
) -> HeadFit:
    started = time.perf_counter()
    criterion = training_loss(training.loss, data.objective, _loss_weights(data.labels, training))
    mean, deviation = linear.feature_moments(data.features)
    features = (data.features - mean) / deviation
    lr = rates(training).new
    optimizer = build_optimizer([parameter_group([head], lr)], training)
    generator = torch.Generator().manual_seed(seed)
    size = min(training.batch_size, max(2, len(features) // MIN_STEPS_PER_EPOCH))
    size = len(features) if training.optimizer == "gd" else size
    num_steps = iterations * len(batch_bounds(len(features), size))
    history: list[EpochRecord] = []
    head.train()
    step = 0
    for epoch in range(1, iterations + 1):
        losses: list[Tensor] = []
        for indices in shuffled_batches(len(features), size, generator):
            set_lr(optimizer, lr_factor(step, num_steps, training.schedule))
            rows = sent(torch.from_numpy(indices), data.features.device)
            loss = criterion(head(features[rows]), data.labels[rows], training.label_smoothing or 0.0)
            loss = loss + training.l2 * squared_norm(head.parameters()) if training.l2 else loss
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            losses.append(loss.detach())
        mean_loss = float(torch.stack(losses).mean())
        if not math.isfinite(mean_loss):
            raise DivergedError(f"head: loss {mean_loss} in epoch {epoch}; a lower learning_rate may help")
        progress.advance(0, f"head, epoch {epoch}", loss=mean_loss)
        history.append(
            EpochRecord(
                stage="head",
                epoch=epoch,
                train_loss=mean_loss,
                examples_seen=epoch * len(features),
                learning_rate=optimizer.param_groups[0]["lr"],
                seconds=time.perf_counter() - started,
            )
        )
    _fold_standardization(head, mean, deviation)
    head.eval()
    return HeadFit(history, iterations, f"head: {iterations} passes by {training.optimizer}", lr)


def _fold_standardization(head: nn.Module, mean: Tensor, deviation: Tensor) -> None:
    """Changes the head's first layer so that it takes features that are not standardized."""
    first = next(part for part in head.modules() if isinstance(part, nn.Linear))
    with torch.no_grad():
        first.weight.div_(deviation)
        first.bias.sub_(first.weight @ mean)
