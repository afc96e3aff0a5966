"""The relation p(source class | target class), learned from the source's predictions (You et al. 2020)."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import LBFGS

from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.statistics.temperature import MIN_SAMPLES, fit_temperature
from graftline.models.devices import place, threads_for
from graftline.training.batches.samples import Indices
from graftline.training.interface import NotApplicableError, StrategyInput
from graftline.training.validation import hold_out

STRENGTHS = [base * 10.0**power for power in range(3, -5, -1) for base in (10, 3)] + [1e-4]
"""sklearn's C, from weak to strong regularization, as in the authors' code."""
ITERATIONS = 200

MANY = 5_000
"""Images that the relation is fitted on, at most."""
Floats = NDArray[np.float64]

Labels = NDArray[np.int64]


def source_head(inputs: StrategyInput) -> nn.Module:
    """Returns a copy of the source's head.

    Raises:
        NotApplicableError: The source or the target is no classification task, or the head is not trained.
    """
    if not LABEL_TYPES[inputs.objective.task].is_class:
        raise NotApplicableError(f"the source's classes have no relation to a target of {inputs.objective.task}")
    source = inputs.start.manifest
    if source.strategy == "random" or not source.classes or not LABEL_TYPES[source.task].is_class:
        raise NotApplicableError("the source has no trained head for classes")
    return copy.deepcopy(inputs.start.network.head)


def learn_relation(inputs: StrategyInput) -> Tensor:
    """Learns p(source class | target class) from the source's predictions on the training images."""
    network = copy.deepcopy(inputs.start.network)
    place(network, inputs.device)
    logits = inputs.start.frozen_outputs(
        "logits", network, inputs.train, inputs.contract, inputs.device, inputs.progress
    )
    probabilities = logits.double().softmax(dim=1).cpu().numpy()
    inside, held = hold_out(inputs.train.labels, inputs.seed)
    found = relation(probabilities, inputs.train.labels, inside, held, len(inputs.classes))
    return torch.from_numpy(found).float()


def relation(probabilities: Floats, labels: Labels, inside: Indices, held: Indices, classes: int) -> Floats:
    """Learns p(source class | target class): the paper's reverse approach.

    A logistic regression without intercept from source probabilities to target classes, fitted on one part, its
    strength chosen and its temperature calibrated on the other; its answer to each pure source class is p(target class
    | source class), which Bayes' rule with the source classes' mean probability turns round.

    Args:
        probabilities: (N, K_source) of the target's training images; rows sum to 1.
        labels: (N,), of the target.
        inside: Places to fit on.
        held: Places to choose and calibrate on; where there are none, the mean probabilities of each class are
            returned, the paper's direct approach.
        classes: K_target.

    Returns:
        (K_target, K_source); rows sum to 1.
    """
    marginal = probabilities.mean(axis=0)
    if not len(held):
        means = [probabilities[labels == each] for each in range(classes)]
        return np.stack([part.mean(axis=0) if len(part) else marginal for part in means])
    weight = _chosen(probabilities, labels, inside[:MANY], held, classes)
    temperature = 1.0
    if len(held) >= MIN_SAMPLES:
        temperature = fit_temperature(probabilities[held] @ weight.T, labels[held])
    joint = softmax(weight / temperature, axis=0) * marginal
    shares: Floats = joint / joint.sum(axis=1, keepdims=True)
    return shares


def _chosen(probabilities: Floats, labels: Labels, inside: Indices, held: Indices, classes: int) -> Floats:
    """Returns the weights (K_target, K_source) that are right on most held-out images, the least held down of them."""
    features, basis = torch.from_numpy(probabilities[inside]), None
    if len(features) < features.shape[1]:  # the best weights lie in the span of the images
        basis, _ = torch.linalg.qr(features.T)
        features = features @ basis
    wanted = torch.from_numpy(labels[inside])
    weight, best, most = torch.zeros(classes, features.shape[1], dtype=torch.float64), np.empty(0), -1.0
    with threads_for(features.numel() * classes):
        for strength in reversed(STRENGTHS):  # each fit begins where the more held down one ended
            weight = _fitted(weight, features, wanted, strength)
            whole = (weight if basis is None else weight @ basis.T).numpy()
            right = float(((probabilities[held] @ whole.T).argmax(axis=1) == labels[held]).mean())
            if right >= most:
                best, most = whole, right
    return best


def _fitted(start: Tensor, features: Tensor, labels: Tensor, strength: float) -> Tensor:
    weight = start.clone().requires_grad_()
    search = LBFGS(
        [weight], max_iter=ITERATIONS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = functional.cross_entropy(features @ weight.T, labels)
        loss = loss + weight.square().sum() / (2 * strength * len(features))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()


def describe_relation(inputs: StrategyInput, shares: Tensor) -> str:
    """Returns a note with the likeliest source class of each of the first target classes."""
    likeliest = shares.max(dim=1)
    names = [
        f"{name}: {inputs.start.manifest.classes[int(index)]} ({float(share):.2f})"
        for name, index, share in zip(inputs.classes, likeliest.indices, likeliest.values, strict=True)
    ]
    held = len(hold_out(inputs.train.labels, inputs.seed)[1])
    return (
        f"p(source class | target class) learned from {len(inputs.train)} training images, calibrated on {held} of "
        f"them; likeliest: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
    )
