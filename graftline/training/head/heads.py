"""A head fitted to convergence on features that stand still."""

import math
import time
from dataclasses import dataclass
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
from graftline.training.batches.samples import cut, shuffled
from graftline.training.head import linear
from graftline.training.loop import optimizer
from graftline.training.loop.schedule import factor
from graftline.training.progress import Progress
from graftline.training.recipe import rates

LEAST_STEPS = 8
"""Steps a pass over cached features, where there are images for it: they are cheap, and few images need them."""


@dataclass(frozen=True)
class Fitted:
    """What fitting a head came to."""

    history: list[EpochRecord]
    iterations: int
    """Passes over the training images."""
    note: str
    rate: float | None = None

    def values(self) -> dict[str, Any]:
        """Returns it as JSON."""
        return {**vars(self), "history": [point.model_dump() for point in self.history]}

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Fitted":
        """Returns what `values` was of."""
        return cls(**{**values, "history": [EpochRecord.model_validate(point) for point in values["history"]]})


def fit_head(
    head: nn.Module,
    features: Tensor,
    labels: Tensor,
    training: Training,
    *,
    iterations: int,
    seed: int,
    progress: Progress,
    objective: Objective = Objective(),  # noqa: B008
    views: int = 1,
) -> Fitted:
    """Fits a head in place: a single linear layer in closed form (regression) or by L-BFGS, any other by the optimizer.

    Args:
        head: From `new_head`, on the features' device.
        features: float32 (N, D) of the training images; with several views of each, all first ones, then all second
            ones, and so forth.
        labels: int64 (N,); for multilabel (N, K), for regression (N, D) in their own units.
        training: Loss, smoothing, l2; for hidden layers also optimizer, rate, decay, batch size, schedule.
        iterations: Cap on passes.
        seed: Draws folds, batches and dropout.
        meter: Told of the passes.
        objective: What the outputs mean.
        views: Rows of each image.

    Raises:
        DivergedError: Features, loss or weights are not finite.
    """
    parts = [part for part in head.modules() if not isinstance(part, nn.Sequential | Scale)]
    with seeded(seed, "head"):
        if len(parts) == 1 and isinstance(parts[0], nn.Linear):
            return _fit_single(head, parts[0], features, labels, training, iterations, seed, progress, objective, views)
        with threads_for(training.batch_size * sum(weight.numel() for weight in head.parameters())):
            return _fit_hidden(head, features, labels, training, iterations, seed, progress, objective)


def _fit_single(
    head: nn.Module,
    layer: nn.Linear,
    features: Tensor,
    labels: Tensor,
    training: Training,
    iterations: int,
    seed: int,
    progress: Progress,
    objective: Objective,
    views: int,
) -> Fitted:
    began = time.perf_counter()
    goal = linear.Goal(
        layer.out_features,
        training.loss,
        training.label_smoothing or 0.0,
        iterations,
        objective,
        _weights(labels, training),
        views,
    )
    best, taken, l2 = linear.fit_linear(features, labels, goal, l2=training.l2, seed=seed)
    layer.load_state_dict(best.state_dict())
    with torch.no_grad():
        loss = float(loss_of(training.loss, objective)(head(features), labels, training.label_smoothing or 0.0))
    shown = taken * len(features)
    progress.advance(0, "head", loss=loss)
    point = EpochRecord(
        stage="head", epoch=taken, train_loss=loss, examples_seen=shown, seconds=time.perf_counter() - began
    )
    chosen = "given" if training.l2 else "chosen by folds of train"
    how = f"{taken} L-BFGS iterations" if goal.iterative else "ridge regression in closed form"
    return Fitted([point], taken, f"head: {how}, l2 {l2:.3g} {chosen}")


def _weights(labels: Tensor, training: Training) -> Tensor | None:
    # A sampler has no meaning where all images are seen at once; its weights in the loss have.
    return class_weights(labels.cpu().numpy()) if training.balance in ("weights", "sampler") else None


def _fit_hidden(
    head: nn.Module,
    features: Tensor,
    labels: Tensor,
    training: Training,
    iterations: int,
    seed: int,
    progress: Progress,
    objective: Objective,
) -> Fitted:
    began, criterion = time.perf_counter(), training_loss(training.loss, objective, _weights(labels, training))
    mean, deviation = linear.moments(features)
    scaled = (features - mean) / deviation
    rate = rates(training).new
    steps = optimizer.build([optimizer.group([head], rate)], training)
    generator = torch.Generator().manual_seed(seed)
    size = len(scaled) if training.optimizer == "gd" else min(training.batch_size, max(2, len(scaled) // LEAST_STEPS))
    total = iterations * len(cut(len(scaled), size))
    history: list[EpochRecord] = []
    head.train()
    step = 0
    for epoch in range(1, iterations + 1):
        losses: list[Tensor] = []
        for places in shuffled(len(scaled), size, generator):
            optimizer.set_rate(steps, factor(step, total, training.schedule))
            rows = sent(torch.from_numpy(places), features.device)
            loss = criterion(head(scaled[rows]), labels[rows], training.label_smoothing or 0.0)
            loss = loss + training.l2 * squared_norm(head.parameters()) if training.l2 else loss
            steps.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            steps.step()
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
                examples_seen=epoch * len(scaled),
                learning_rate=steps.param_groups[0]["lr"],
                seconds=time.perf_counter() - began,
            )
        )
    _fold(head, mean, deviation)
    head.eval()
    return Fitted(history, iterations, f"head: {iterations} passes by {training.optimizer}", rate)


def _fold(head: nn.Module, mean: Tensor, deviation: Tensor) -> None:
    # The head saw standardised features; its first layer takes the standardisation in.
    first = next(part for part in head.modules() if isinstance(part, nn.Linear))
    with torch.no_grad():
        first.weight.div_(deviation)
        first.bias.sub_(first.weight @ mean)
