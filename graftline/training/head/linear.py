"""A linear layer on cached features, to convergence, its regularisation chosen by folds.

Classes by multinomial logistic regression, labels by one logistic regression each, numbers by ridge regression.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import LBFGS

from graftline.models.devices import threads_for
from graftline.models.objective import Objective
from graftline.runtime.errors import DivergedError
from graftline.training.batches.balance import training_loss
from graftline.training.batches.losses import Loss, squared_norm
from graftline.training.batches.samples import Indices
from graftline.training.head import ridge
from graftline.training.validation import folds

STRENGTHS = (3.0, 1.0, 3e-1, 1e-1, 3e-2, 1e-2, 1e-3, 1e-4)
"""lambda of lambda |W|^2 on standardised features, from strong to weak; each fit starts from the one before."""
MANY = 5_000
"""Above this many images one fold of five is enough to choose the strength by."""
FLOOR = 0.05
"""Least deviation of a feature, as a share of the mean one: what hardly moves in training must not explode later."""

Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Goal:
    """What a fit minimises."""

    classes: int
    loss: str
    smoothing: float
    iterations: int
    """Cap on L-BFGS iterations."""
    objective: Objective = field(default_factory=Objective)
    """What the outputs mean. The layer itself learns standardised numbers."""
    weights: Tensor | None = None
    """Of the classes."""
    views: int = 1
    """Rows of each image: first one of every image, then a second one of every image, and so forth."""

    @property
    def iterative(self) -> bool:
        """Whether there is no closed form."""
        return self.objective.task != "regression" or self.loss == "huber"

    @property
    def criterion(self) -> Loss:
        """The loss of the layer's own outputs."""
        ones = (1.0,) * len(self.objective.deviation)
        return training_loss(self.loss, replace(self.objective, deviation=ones), self.weights)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Tried from strong to weak. The loss of several labels is their mean, so each has its share of the penalty."""
        shared = self.classes if self.objective.task == "multilabel" else 1
        return tuple(strength / shared for strength in STRENGTHS)


def fit_linear(features: Tensor, labels: Tensor, goal: Goal, *, l2: float, seed: int) -> tuple[nn.Linear, int, float]:
    """Fits a linear layer by L-BFGS on all features at once, ridge regression in closed form.

    With `l2` 0, features are standardised for the fit (the standardisation is folded into the layer) and, as in
    Kornblith et al. 2019, the lambda of lambda |W|^2, biases free, is chosen: by held-out loss over stratified
    folds of these same features, so that no other data are looked at. With `l2` above 0 it is lambda |w|^2 over
    all weights of the layer on the features as they are.

    Args:
        features: float32 (N, D), N rows of `goal.views` an image.
        labels: int64 (N,); for multilabel (N, K), for regression (N, D) in their own units.
        goal: What to minimise.
        l2: lambda, or 0: choose one.
        seed: Draws the folds.

    Returns:
        The layer, on the features as they are, for regression to standardised numbers; the iterations that the kept
        fit took; its lambda.

    Raises:
        DivergedError: The features or the fit are not finite.
    """
    if not bool(torch.isfinite(features).all()):
        raise DivergedError("the frozen backbone's features are not finite")
    if goal.objective.task == "regression":
        labels = (labels - labels.new_tensor(goal.objective.mean)) / labels.new_tensor(goal.objective.deviation)
    with threads_for(min(features.shape) * features.shape[0] * goal.classes):
        weight, bias, taken, l2 = _fit(features, labels, goal, l2, seed)
    if not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise DivergedError("the head's weights are not finite")
    layer = nn.Linear(weight.shape[1], goal.classes, device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer, taken, l2


def _fit(features: Tensor, labels: Tensor, goal: Goal, l2: float, seed: int) -> tuple[Tensor, Tensor, int, float]:
    if l2 and not goal.iterative:
        return *ridge.with_penalised_bias(features, labels, l2), 1, l2
    if l2:
        weight, bias, taken = _minimise(features, labels, _zeros(features, goal), goal, l2, free_bias=False)
        return weight, bias, taken, l2
    mean, deviation = moments(features)
    features, basis = _turned((features - mean) / deviation)
    pairs = _folds(labels, goal.views, seed)
    if len(features) > MANY:
        pairs = pairs[:1]
    if goal.iterative:
        l2 = _choose(features, labels, goal, pairs)
        weight, bias, taken = _minimise(features, labels, _zeros(features, goal), goal, l2)
    else:
        l2 = ridge.choose(features, labels, pairs)
        weight, bias = (value.to(features.dtype) for value in ridge.Solver.of(features, labels).weights(l2))
        taken = 1
    weight = (weight if basis is None else weight @ basis.T) / deviation
    return weight, bias - weight @ mean, taken, l2


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and deviation (D,) of features (N, D), small deviations raised to a floor."""
    deviation = features.std(0, correction=0)
    return features.mean(0), deviation.clamp(min=max(FLOOR * float(deviation.mean()), 1e-8))


def _folds(labels: Tensor, views: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Folds of images, never of views: all views of one are trained on, or its first one is held out."""
    images = len(labels) // views
    starts = np.arange(views)[:, None] * images
    return [((starts + train).ravel(), held) for train, held in folds(labels[:images].cpu().numpy(), seed)]


def _turned(features: Tensor) -> tuple[Tensor, Tensor | None]:
    # With fewer images than features, the best weights lie in the images' span: turned into it, the same fit is small.
    if features.shape[0] >= features.shape[1]:
        return features, None
    basis, _ = torch.linalg.qr(features.T)
    return features @ basis, basis


def _zeros(features: Tensor, goal: Goal) -> Weights:
    return features.new_zeros(goal.classes, features.shape[1]), features.new_zeros(goal.classes)


def _choose(features: Tensor, labels: Tensor, goal: Goal, pairs: list[tuple[Indices, Indices]]) -> float:
    starts = [_zeros(features, goal) for _ in pairs]
    best, chosen, worse = math.inf, goal.strengths[0], 0
    for strength in goal.strengths:
        total = 0.0
        for number, (train, held) in enumerate(pairs):
            weight, bias, _ = _minimise(features[train], labels[train], starts[number], goal, strength, exact=False)
            total += float(goal.criterion(features[held] @ weight.T + bias, labels[held], 0.0))
            starts[number] = weight, bias
        if total < best:
            best, chosen, worse = total, strength, 0
        else:
            worse += 1
        if worse == 2:  # held-out loss only rises from here on
            break
    return chosen


def _minimise(
    features: Tensor,
    labels: Tensor,
    start: Weights,
    goal: Goal,
    strength: float,
    *,
    free_bias: bool = True,
    exact: bool = True,
) -> tuple[Tensor, Tensor, int]:
    weight, bias = (value.clone().requires_grad_() for value in start)
    search = LBFGS(
        [weight, bias],
        max_iter=goal.iterations,
        tolerance_grad=1e-5 if exact else 1e-3,
        tolerance_change=1e-7 if exact else 1e-4,
        line_search_fn="strong_wolfe",
    )

    criterion = goal.criterion

    def closure() -> float:
        search.zero_grad()
        loss = criterion(features @ weight.T + bias, labels, goal.smoothing)
        loss = loss + strength * squared_norm([weight] if free_bias else [weight, bias])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach(), int(search.state[weight]["n_iter"])
