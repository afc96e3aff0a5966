"""`feature`: a frozen backbone, its features computed once, a new head on them (Donahue et al. 2014)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graftline.config import Feature
from graftline.models.devices import place
from graftline.runtime import events
from graftline.strategies.weights.carry import Carried, carried
from graftline.training.batches.augment import AUGMENTATIONS
from graftline.training.batches.samples import Samples
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.head.heads import FeatureSet, HeadFit, fit_head
from graftline.training.loop.freezing import freeze, trained_parameters
from graftline.training.loop.loop_state import load_network_state, network_state
from graftline.training.recipe import head_iterations
from graftline.training.resume.journal import JournalEntry
from graftline.training.validation import score

ROOM = 2**30
"""Numbers that the features of all views may be at most: 4 GiB."""


@dataclass(frozen=True)
class OnFeatures:
    """A network with the source's frozen backbone and a head that has converged on its features."""

    start: Carried
    fitted: HeadFit


def train(task: StrategyInput) -> StrategyResult:
    """Fits a new head to convergence on features in eval mode, of images as they are and, with `views`, augmented.

    No row of the source's head is kept: where the head is one layer the fit has one answer, whatever it starts from.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: Features or head are not finite.
    """
    views = task.options.views if isinstance(task.options, Feature) else 1
    found = converged_head(task, task.training.epochs or head_iterations(len(task.train) * views), views)
    network = found.start.network
    network.eval()
    source = task.start.manifest

    def predict(samples: Samples) -> Tensor:
        with torch.no_grad():
            logits: Tensor = network.head(features_of(task, found.start, samples))
        return logits

    return StrategyResult(
        network,
        found.start.contract,
        source.small,
        task.head,
        predict,
        architecture=source.architecture,
        history=found.fitted.history,
        examples_seen=found.fitted.history[-1].examples_seen,
        trained_parameters=trained_parameters(network),
        reinitialised=found.start.transferred.reinitialised,
        dropped=found.start.transferred.dropped,
        surgery=found.start.surgery,
        notes=[found.fitted.note],
        learning_rate=found.fitted.lr,
    )


def converged_head(task: StrategyInput, iterations: int, views: int = 1) -> OnFeatures:
    """Carries the whole backbone, freezes it, fits the head.

    Args:
        task: What to train.
        iterations: Cap on passes over the cached features.
        views: Of each training image, the first one as it is, the others augmented: fewer where they do not fit.
    """
    start = carried(task)
    freeze([start.network.backbone])
    place(start.network, task.device)
    if (kept := task.journal.get("head")) is not None:
        load_network_state(start.network, kept.tensors)
        return OnFeatures(start, HeadFit.of(kept.values))
    views, note = _that_fit(views, len(task.train.all_samples()) * start.network.feature_size)
    features = torch.cat([_view_of(task, start, number) for number in range(views)])
    labels = torch.cat([torch.from_numpy(task.train.labels).to(features.device)] * views)
    fitted = fit_head(
        start.network.head,
        FeatureSet(features, labels, task.objective, views),
        task.training,
        iterations=iterations,
        seed=task.seed,
        progress=task.progress,
    )
    fitted = replace(fitted, note=f"{fitted.note}{note}")
    fitted = _with_validation(task, start, fitted)
    task.journal.put(
        "head", JournalEntry(fitted.values(), network_state(start.network, "head."), done=True, has_network=True)
    )
    return OnFeatures(start, fitted)


def features_of(task: StrategyInput, start: Carried, samples: Samples) -> Tensor:
    """Returns the carried backbone's features (N, D) of some samples; the pool is asked once a source."""
    return task.start.frozen_outputs(
        "features", start.network.backbone, samples, start.contract, task.device, task.progress
    )


def _view_of(task: StrategyInput, start: Carried, number: int) -> Tensor:
    """Returns the features (N, D) of one view of the training images: its draw goes by the pool, not by the fold."""
    if not number:
        return features_of(task, start, task.train)
    augment = AUGMENTATIONS[task.training.augment or "none"]
    generator = torch.Generator().manual_seed(task.seed * 64 + number)
    return task.start.frozen_outputs(
        f"features, view {number} by {task.seed}",
        start.network.backbone,
        task.train,
        start.contract,
        task.device,
        task.progress,
        lambda images: augment(images, generator),
    )


def _that_fit(views: int, numbers: int) -> tuple[int, str]:
    """Returns how many views of so many numbers each are taken, and a note on it."""
    taken = min(views, max(1, ROOM // numbers))
    if taken < views:
        events.log(f"feature: {taken} of {views} views, for more do not fit into memory")
        return taken, f", {taken} of {views} views, for more do not fit into memory"
    return taken, f", {views} views" if views > 1 else ""


def _with_validation(task: StrategyInput, start: Carried, fitted: HeadFit) -> HeadFit:
    if not len(task.val):
        return fitted
    with torch.no_grad():
        found = score(
            start.network.head(features_of(task, start, task.val)), task.val.labels, task.training.loss, task.objective
        )
    last = fitted.history[-1].model_copy(update=found.point)
    task.progress.advance(0, "head", **found.progress_values)
    return HeadFit([*fitted.history[:-1], last], fitted.iterations, fitted.note, fitted.lr)
