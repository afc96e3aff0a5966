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
"""Values of C in scikit-learn's sense, from weak to strong regularization, as in the authors' code."""
ITERATIONS = 200
"""Maximum number of L-BFGS iterations of each fit."""

MANY = 5_000
"""Maximum number of images that the relation is fitted on."""
Floats = NDArray[np.float64]

Labels = NDArray[np.int64]


def source_head(inputs: StrategyInput) -> nn.Module:
    """Returns a copy of the source's head.

    Raises:
        NotApplicableError: The source's or the target's task is not classification, or the source's head is not
            trained.
    """
    if not LABEL_TYPES[inputs.objective.task].is_class:
        raise NotApplicableError(f"the source's classes have no relation to a target of {inputs.objective.task}")
    source = inputs.start.manifest
    if source.strategy == "random" or not source.classes or not LABEL_TYPES[source.task].is_class:
        raise NotApplicableError("the source has no trained head for classes")
    return copy.deepcopy(inputs.start.network.head)


def learn_relation(inputs: StrategyInput) -> Tensor:
    """Estimates p(source class | target class) from the source's predictions on the training images.

    Returns:
        float32 (K_target, K_source); rows sum to 1.
    """
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
    """Estimates p(source class | target class) with the paper's reverse approach.

    A logistic regression without intercept predicts target classes from source probabilities. It is fitted on one part
    of the samples; its regularization strength is selected and its temperature calibrated on the other part. Its
    prediction for each one-hot source class is p(target class | source class), which Bayes' rule with the mean
    probabilities of the source classes inverts.

    Args:
        probabilities: (N, K_source), predictions of the source for the target's training images; rows sum to 1.
        labels: (N,), class indices of the target.
        inside: Indices to fit on.
        held: Indices for selection and calibration; if empty, the mean probabilities of each class are returned, which
            is the paper's direct approach.
        classes: K_target, the number of target classes.

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
    """Returns the weights (K_target, K_source) with the highest held-out accuracy; ties go to weaker regularization."""
    features, basis = torch.from_numpy(probabilities[inside]), None
    if len(features) < features.shape[1]:  # the best weights lie in the span of the images
        basis, _ = torch.linalg.qr(features.T)
        features = features @ basis
    wanted = torch.from_numpy(labels[inside])
    weight, best, most = torch.zeros(classes, features.shape[1], dtype=torch.float64), np.empty(0), -1.0
    with threads_for(features.numel() * classes):
        for strength in reversed(STRENGTHS):  # each fit starts from that with the next stronger regularization
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
    """Returns a note with the most likely source class of each of the first five target classes."""
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
