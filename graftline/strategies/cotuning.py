"""`cotuning`: all layers trained, and the source's head with them, on what the source would say (You et al. 2020)."""

import copy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import LBFGS

from graftline.config.strategies import CoTuning
from graftline.data.labels import LABEL_TYPES
from graftline.evaluation.statistics.temperature import MIN_SAMPLES, fit_temperature
from graftline.evaluation.torch_functions import soft
from graftline.models.devices import place, threads_for
from graftline.strategies.weights.carry import carried, train_groups
from graftline.training.batches.samples import Indices
from graftline.training.contract import NotApplicableError, StrategyInput, StrategyResult
from graftline.training.loop.freezing import trained_parameters
from graftline.training.loop.optimizer import parameter_group
from graftline.training.loop.stepper import Batch
from graftline.training.recipe import rates
from graftline.training.validation import hold_out

STRENGTHS = [base * 10.0**power for power in range(3, -5, -1) for base in (10, 3)] + [1e-4]
"""sklearn's C, from weak to strong regularisation, as in the authors' code."""
ITERATIONS = 200
MANY = 5_000
"""Images that the relation is fitted on, at most."""

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def train(task: StrategyInput) -> StrategyResult:
    """Adds to the loss what the source's head loses against p(source class | target class), learned beforehand.

    The source's head stands beside the new one on the same features, at the carried layers' rate, and is dropped at
    the end.

    Raises:
        NotApplicableError: The source has no head that means anything, or one that takes other features.
        DivergedError: The loss did.
    """
    options = task.asked(CoTuning)
    if not LABEL_TYPES[task.objective.task].is_class:
        raise NotApplicableError(f"the source's classes say nothing of a target that is {task.objective.task}")
    head = _source_head(task)
    start = carried(task, head=True)
    if start.network.feature_size != task.start.network.feature_size:
        raise NotApplicableError(
            f"the source's head takes {task.start.network.feature_size} features, the pooled ones "
            f"are {start.network.feature_size}"
        )
    shares = task.journal.get_or_create("relation", lambda: {"shares": _relation(task)})["shares"].to(task.device)
    network = start.network
    network.add_module("source_head", head)
    rate = rates(task.training)
    groups = [
        parameter_group([network.head], rate.carried if start.head else rate.new),
        parameter_group([network.backbone, head], rate.carried),
    ]

    def penalty(batch: Batch) -> Tensor:
        wanted = soft(batch.labels, len(task.classes)).to(shares) @ shares
        return options.strength * functional.cross_entropy(head(batch.features), wanted)

    _, trained = train_groups(task, network, start.contract, groups, penalties=[penalty])
    del network.source_head
    network.eval()
    return replace(
        trained,
        trained_parameters=trained_parameters(network),
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[*start.notes, _told(task, shares)],
    )


def _source_head(task: StrategyInput) -> nn.Module:
    source = task.start.manifest
    if source.strategy == "random" or not source.classes or not LABEL_TYPES[source.task].is_class:
        raise NotApplicableError("the source has no trained head that tells classes apart")
    return copy.deepcopy(task.start.network.head)


def _relation(task: StrategyInput) -> Tensor:
    """Learns p(source class | target class) from what the source, as it is, says of the training images."""
    network = copy.deepcopy(task.start.network)
    place(network, task.device)
    logits = task.start.frozen_outputs("logits", network, task.train, task.contract, task.device, task.progress)
    probabilities = logits.double().softmax(dim=1).cpu().numpy()
    inside, held = hold_out(task.train.labels, task.seed)
    found = relation(probabilities, task.train.labels, inside, held, len(task.classes))
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
    inputs, basis = torch.from_numpy(probabilities[inside]), None
    if len(inputs) < inputs.shape[1]:  # the best weights lie in the span of the images
        basis, _ = torch.linalg.qr(inputs.T)
        inputs = inputs @ basis
    wanted = torch.from_numpy(labels[inside])
    weight, best, most = torch.zeros(classes, inputs.shape[1], dtype=torch.float64), np.empty(0), -1.0
    with threads_for(inputs.numel() * classes):
        for strength in reversed(STRENGTHS):  # each fit begins where the more held down one ended
            weight = _fitted(weight, inputs, wanted, strength)
            whole = (weight if basis is None else weight @ basis.T).numpy()
            right = float(((probabilities[held] @ whole.T).argmax(axis=1) == labels[held]).mean())
            if right >= most:
                best, most = whole, right
    return best


def _fitted(start: Tensor, inputs: Tensor, labels: Tensor, strength: float) -> Tensor:
    weight = start.clone().requires_grad_()
    search = LBFGS(
        [weight], max_iter=ITERATIONS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        loss = functional.cross_entropy(inputs @ weight.T, labels)
        loss = loss + weight.square().sum() / (2 * strength * len(inputs))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    search.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach()


def _told(task: StrategyInput, shares: Tensor) -> str:
    nearest = shares.max(dim=1)
    names = [
        f"{name}: {task.start.manifest.classes[int(place)]} ({float(share):.2f})"
        for name, place, share in zip(task.classes, nearest.indices, nearest.values, strict=True)
    ]
    held = len(hold_out(task.train.labels, task.seed)[1])
    return (
        f"p(source class | target class) learned from {len(task.train)} training images, calibrated on {held} of "
        f"them; likeliest: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
    )
