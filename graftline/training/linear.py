"""Multinomial logistic regression on cached features, to convergence, its regularisation chosen by folds."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import LBFGS

from graftline.errors import DivergedError
from graftline.training.devices import threads_for
from graftline.training.losses import LOSSES, squared_norm
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


def fit_linear(features: Tensor, labels: Tensor, goal: Goal, *, l2: float, seed: int) -> tuple[nn.Linear, int, float]:
    """Fits a linear layer by L-BFGS on all features at once.

    With `l2` 0, features are standardised for the fit (the standardisation is folded into the layer) and, as in
    Kornblith et al. 2019, the lambda of lambda |W|^2, biases free, is chosen: by held-out loss over stratified
    folds of these same features, so that no other data are looked at. With `l2` above 0 it is lambda |w|^2 over
    all weights of the layer on the features as they are.

    Args:
        features: float32 (N, D).
        labels: int64 (N,).
        goal: What to minimise.
        l2: lambda, or 0: choose one.
        seed: Draws the folds.

    Returns:
        The layer, on the features as they are; the iterations that the kept fit took; its lambda.

    Raises:
        DivergedError: The features or the fit are not finite.
    """
    if not bool(torch.isfinite(features).all()):
        raise DivergedError("the frozen backbone's features are not finite")
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
    if l2:
        weight, bias, taken = _minimise(features, labels, _zeros(features, goal), goal, l2, free_bias=False)
        return weight, bias, taken, l2
    mean, deviation = moments(features)
    features, basis = _turned((features - mean) / deviation)
    l2 = _choose(features, labels, goal, seed)
    weight, bias, taken = _minimise(features, labels, _zeros(features, goal), goal, l2)
    weight = (weight if basis is None else weight @ basis.T) / deviation
    return weight, bias - weight @ mean, taken, l2


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and deviation (D,) of features (N, D), small deviations raised to a floor."""
    deviation = features.std(0, correction=0)
    return features.mean(0), deviation.clamp(min=max(FLOOR * float(deviation.mean()), 1e-8))


def _turned(features: Tensor) -> tuple[Tensor, Tensor | None]:
    # With fewer images than features, the best weights lie in the images' span: turned into it, the same fit is small.
    if features.shape[0] >= features.shape[1]:
        return features, None
    basis, _ = torch.linalg.qr(features.T)
    return features @ basis, basis


def _zeros(features: Tensor, goal: Goal) -> Weights:
    return features.new_zeros(goal.classes, features.shape[1]), features.new_zeros(goal.classes)


def _choose(features: Tensor, labels: Tensor, goal: Goal, seed: int) -> float:
    pairs = folds(labels.cpu().numpy(), seed)
    if len(features) > MANY:
        pairs = pairs[:1]
    starts = [_zeros(features, goal) for _ in pairs]
    best, chosen, worse = math.inf, STRENGTHS[0], 0
    for strength in STRENGTHS:
        total = 0.0
        for number, (train, held) in enumerate(pairs):
            weight, bias, _ = _minimise(features[train], labels[train], starts[number], goal, strength, exact=False)
            total += float(LOSSES[goal.loss](features[held] @ weight.T + bias, labels[held], 0.0))
            starts[number] = weight, bias
        if total < best:
            best, chosen, worse = total, strength, 0
        else:
            worse += 1
        if worse == 2:  # held-out loss only rises from here on
            break
    return chosen


def _minimise(features: Tensor, labels: Tensor, start: Weights, goal: Goal, strength: float, *,
              free_bias: bool = True, exact: bool = True) -> tuple[Tensor, Tensor, int]:
    weight, bias = (value.clone().requires_grad_() for value in start)
    search = LBFGS([weight, bias], max_iter=goal.iterations, tolerance_grad=1e-5 if exact else 1e-3,
                   tolerance_change=1e-7 if exact else 1e-4, line_search_fn="strong_wolfe")

    def closure() -> float:
        search.zero_grad()
        loss = LOSSES[goal.loss](features @ weight.T + bias, labels, goal.smoothing)
        loss = loss + strength * squared_norm([weight] if free_bias else [weight, bias])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach(), int(search.state[weight]["n_iter"])
