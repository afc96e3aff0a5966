"""Linear layers fitted to convergence on cached features, with the regularization chosen by cross-validation.

Multinomial logistic regression for classes, one logistic regression per label, ridge regression for numbers.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import LBFGS

from graftline.evaluation.tasks import TASKS
from graftline.evaluation.torch_functions import Loss
from graftline.models.devices import threads_for
from graftline.models.objective import Objective
from graftline.runtime.errors import DivergedError
from graftline.training.batches.balance import training_loss
from graftline.training.batches.losses import squared_norm
from graftline.training.batches.samples import Indices
from graftline.training.head import ridge
from graftline.training.validation import folds

STRENGTHS = (3.0, 1.0, 3e-1, 1e-1, 3e-2, 1e-2, 1e-3, 1e-4)
"""Values of lambda in lambda |W|^2 on standardized features, from strong to weak; each fit starts from the last one."""
MANY_IMAGES = 5_000
"""Number of images above which one fold is enough to choose the strength."""
MIN_DEVIATION_SHARE = 0.05
"""Minimum standard deviation of a feature, relative to the mean one, so that nearly constant features stay small."""

Weights = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class LinearProblem:
    """What a fit minimizes."""

    num_outputs: int
    loss: str
    smoothing: float
    iterations: int
    """Maximum number of L-BFGS iterations."""
    objective: Objective = field(default_factory=Objective)
    """Meaning of the outputs; the layer learns standardized numbers."""
    weights: Tensor | None = None
    """Class weights."""
    views: int = 1
    """Rows per image: all first views, then all second views, and so on."""

    @property
    def is_iterative(self) -> bool:
        """Whether there is no closed form."""
        return self.loss not in TASKS[self.objective.task].closed_form_losses

    @property
    def criterion(self) -> Loss:
        """Loss of the layer's outputs."""
        ones = (1.0,) * len(self.objective.deviation)
        return training_loss(self.loss, replace(self.objective, deviation=ones), self.weights)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Strengths to try; divided by the number of labels for multilabel, whose loss is the mean over labels."""
        shared = self.num_outputs if TASKS[self.objective.task].has_mean_loss else 1
        return tuple(strength / shared for strength in STRENGTHS)


def fit_linear(
    features: Tensor, labels: Tensor, problem: LinearProblem, *, l2: float, seed: int
) -> tuple[nn.Linear, int, float]:
    """Fits a linear layer by L-BFGS on all features at once, ridge regression in closed form.

    With `l2` 0, features are standardized for the fit (the standardization is folded into the layer), and the lambda
    of lambda |W|^2, biases excluded, is chosen by cross-validation on these features, as in Kornblith et al. 2019.
    With `l2` above 0, the penalty is l2 |w|^2 over all weights of the layer, on features that are not standardized.

    Args:
        features: float32 (N, D), `problem.views` rows per image.
        labels: int64 (N,); for multilabel (N, K), for regression (N, D) in their own units.
        problem: What to minimize.
        l2: Value of lambda; 0: choose it.
        seed: Draws the folds.

    Returns:
        The layer, which takes features that are not standardized and for regression returns standardized numbers; the
        number of iterations of its fit; its lambda.

    Raises:
        DivergedError: The features or the fit are not finite.
    """
    if not bool(torch.isfinite(features).all()):
        raise DivergedError("the frozen backbone's features are not finite")
    if problem.objective.deviation:
        labels = (labels - labels.new_tensor(problem.objective.mean)) / labels.new_tensor(problem.objective.deviation)
    with threads_for(min(features.shape) * features.shape[0] * problem.num_outputs):
        weight, bias, taken, l2 = _fit(features, labels, problem, l2, seed)
    if not bool(torch.isfinite(weight).all() and torch.isfinite(bias).all()):
        raise DivergedError("the head's weights are not finite")
    layer = nn.Linear(weight.shape[1], problem.num_outputs, device=weight.device)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer, taken, l2


def _fit(
    features: Tensor, labels: Tensor, problem: LinearProblem, l2: float, seed: int
) -> tuple[Tensor, Tensor, int, float]:
    if l2 and not problem.is_iterative:
        return *ridge.fit_with_penalized_bias(features, labels, l2), 1, l2
    if l2:
        weight, bias, taken = minimize(features, labels, zero_weights(features, problem), problem, l2, free_bias=False)
        return weight, bias, taken, l2
    mean, deviation = feature_moments(features)
    features, basis = project_to_span((features - mean) / deviation)
    pairs = view_folds(labels, problem.views, seed)
    if len(features) > MANY_IMAGES:
        pairs = pairs[:1]
    if problem.is_iterative:
        l2 = _choose_strength(features, labels, problem, pairs)
        weight, bias, taken = minimize(features, labels, zero_weights(features, problem), problem, l2)
    else:
        l2 = ridge.choose_strength(features, labels, pairs)
        weight, bias = (value.to(features.dtype) for value in ridge.RidgeSolver.of(features, labels).weights(l2))
        taken = 1
    weight = (weight if basis is None else weight @ basis.T) / deviation
    return weight, bias - weight @ mean, taken, l2


def feature_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and standard deviation (D,) of features (N, D); very small deviations are raised."""
    deviation = features.std(0, correction=0)
    return features.mean(0), deviation.clamp(min=max(MIN_DEVIATION_SHARE * float(deviation.mean()), 1e-8))


def view_folds(labels: Tensor, views: int, seed: int) -> list[tuple[Indices, Indices]]:
    """Returns folds over images: all views of an image are trained on, or its first view is held out."""
    images = len(labels) // views
    starts = np.arange(views)[:, None] * images
    return [((starts + train).ravel(), held) for train, held in folds(labels[:images].cpu().numpy(), seed)]


def project_to_span(features: Tensor) -> tuple[Tensor, Tensor | None]:
    """Returns features in a basis of their span, and the basis (D, N); unchanged with N >= D, where it does not help.

    With fewer images than features, the optimal weights are in the span of the images, so the fit is the same.
    """
    if features.shape[0] >= features.shape[1]:
        return features, None
    basis, _ = torch.linalg.qr(features.T)
    return features @ basis, basis


def zero_weights(features: Tensor, problem: LinearProblem) -> Weights:
    """Returns a zero weight (O, D) and bias (O,)."""
    return features.new_zeros(problem.num_outputs, features.shape[1]), features.new_zeros(problem.num_outputs)


def _choose_strength(
    features: Tensor, labels: Tensor, problem: LinearProblem, pairs: list[tuple[Indices, Indices]]
) -> float:
    starts = [zero_weights(features, problem) for _ in pairs]
    best, chosen, worse = math.inf, problem.strengths[0], 0
    for strength in problem.strengths:
        total = 0.0
        for number, (train, held) in enumerate(pairs):
            weight, bias, _ = minimize(features[train], labels[train], starts[number], problem, strength, exact=False)
            total += float(problem.criterion(features[held] @ weight.T + bias, labels[held], 0.0))
            starts[number] = weight, bias
        if total < best:
            best, chosen, worse = total, strength, 0
        else:
            worse += 1
        if worse == 2:  # the held-out loss keeps rising from here
            break
    return chosen


def minimize(
    features: Tensor,
    labels: Tensor,
    start: Weights,
    problem: LinearProblem,
    strength: float,
    *,
    free_bias: bool = True,
    exact: bool = True,
) -> tuple[Tensor, Tensor, int]:
    """Returns weight (O, D), bias (O,) and the number of iterations of an L-BFGS fit from the given start."""
    weight, bias = (value.clone().requires_grad_() for value in start)
    search = LBFGS(
        [weight, bias],
        max_iter=problem.iterations,
        tolerance_grad=1e-5 if exact else 1e-3,
        tolerance_change=1e-7 if exact else 1e-4,
        line_search_fn="strong_wolfe",
    )

    criterion = problem.criterion

    def closure() -> float:
        search.zero_grad()
        loss = criterion(features @ weight.T + bias, labels, problem.smoothing)
        loss = loss + strength * squared_norm([weight] if free_bias else [weight, bias])
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach(), int(search.state[weight]["n_iter"])
