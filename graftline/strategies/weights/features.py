"""Fitting of a head on the features of the frozen backbone."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graftline.models.devices import place
from graftline.runtime import events
from graftline.strategies.weights.carry import Carried, carried
from graftline.training.batches.augment import AUGMENTATIONS
from graftline.training.batches.samples import Samples
from graftline.training.head.heads import FeatureSet, HeadFit, fit_head
from graftline.training.interface import StrategyInput
from graftline.training.loop.freezing import freeze
from graftline.training.loop.loop_state import load_network_state, network_state
from graftline.training.resume.journal import JournalEntry
from graftline.training.validation import score

ROOM = 2**30
"""Maximum number of values in the features of all views: 4 GiB as float32."""


@dataclass(frozen=True)
class FeatureHead:
    """A network with the source's frozen backbone and a head fitted on its features."""

    start: Carried
    fitted: HeadFit


def converged_head(inputs: StrategyInput, iterations: int, views: int = 1) -> FeatureHead:
    """Transfers the entire backbone, freezes it and fits the head on its features.

    Args:
        inputs: Input of the strategy.
        iterations: Maximum number of passes over the cached features.
        views: Number of views of each training image; the first one is unchanged, the others are augmented. Fewer are
            used if they do not fit into memory.
    """
    start = carried(inputs)
    freeze([start.network.backbone])
    place(start.network, inputs.device)
    if (kept := inputs.journal.get("head")) is not None:
        load_network_state(start.network, kept.tensors)
        return FeatureHead(start, HeadFit.of(kept.values))
    views, note = _that_fit(views, len(inputs.train.all_samples()) * start.network.feature_size)
    features = torch.cat([_view_of(inputs, start, number) for number in range(views)])
    labels = torch.cat([torch.from_numpy(inputs.train.labels).to(features.device)] * views)
    fitted = fit_head(
        start.network.head,
        FeatureSet(features, labels, inputs.objective, views),
        inputs.training,
        iterations=iterations,
        seed=inputs.seed,
        progress=inputs.progress,
    )
    fitted = replace(fitted, note=f"{fitted.note}{note}")
    fitted = _with_validation(inputs, start, fitted)
    inputs.journal.put(
        "head", JournalEntry(fitted.values(), network_state(start.network, "head."), done=True, has_network=True)
    )
    return FeatureHead(start, fitted)


def features_of(inputs: StrategyInput, start: Carried, samples: Samples) -> Tensor:
    """Returns the transferred backbone's features (N, D) of some samples, computed once per source and pool."""
    return inputs.start.frozen_outputs(
        "features", start.network.backbone, samples, start.contract, inputs.device, inputs.progress
    )


def _view_of(inputs: StrategyInput, start: Carried, number: int) -> Tensor:
    """Returns the features (N, D) of one view of the training images.

    The augmentation is drawn for the whole pool, so that all folds share the cached features.
    """
    if not number:
        return features_of(inputs, start, inputs.train)
    augment = AUGMENTATIONS[inputs.training.augment or "none"]
    generator = torch.Generator().manual_seed(inputs.seed * 64 + number)
    return inputs.start.frozen_outputs(
        f"features, view {number} by {inputs.seed}",
        start.network.backbone,
        inputs.train,
        start.contract,
        inputs.device,
        inputs.progress,
        lambda images: augment(images, generator),
    )


def _that_fit(views: int, numbers: int) -> tuple[int, str]:
    """Returns the number of views that fit into memory, and a note on it.

    Args:
        views: Requested number of views.
        numbers: Number of values in the features of one view.
    """
    taken = min(views, max(1, ROOM // numbers))
    if taken < views:
        events.log(f"feature: {taken} of {views} views, more do not fit into memory")
        return taken, f", {taken} of {views} views, more do not fit into memory"
    return taken, f", {views} views" if views > 1 else ""


def _with_validation(inputs: StrategyInput, start: Carried, fitted: HeadFit) -> HeadFit:
    if not len(inputs.val):
        return fitted
    with torch.no_grad():
        found = score(
            start.network.head(features_of(inputs, start, inputs.val)),
            inputs.val.labels,
            inputs.training.loss,
            inputs.objective,
        )
    last = fitted.history[-1].model_copy(update=found.point)
    inputs.progress.advance(0, "head", **found.progress_values)
    return HeadFit([*fitted.history[:-1], last], fitted.iterations, fitted.note, fitted.lr)
