"""Outputs over a set of samples, the main metric with its standard error, stratified folds."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.backbones import prepare
from graftline.checkpoint import InputContract
from graftline.training.batches import Rows, Samples, in_order
from graftline.training.devices import as_input
from graftline.training.losses import LOSSES
from graftline.training.meter import Meter

BATCH = 128
"""Images a forward pass without gradients."""
FOLDS = 5
REPEATS = 2


@dataclass(frozen=True)
class Score:
    """How well held-out samples are told apart."""

    accuracy: float
    balanced: float
    """Mean over classes of recall; classes without samples don't count."""
    se: float
    """Standard error of `balanced`."""
    loss: float


def outputs(module: nn.Module, samples: Samples, contract: InputContract, device: torch.device,
            meter: Meter | None = None) -> Tensor:
    """Returns what a module says of each sample, in eval mode and without augmentation.

    Args:
        module: A network (logits) or its backbone (features), on `device`.
        samples: (N,).
        contract: What turns stored images into the module's input.
        device: Where the module is.
        meter: Told of each batch, where the pass is work that the step has planned.

    Returns:
        float32 (N, K) or (N, D), on the device.
    """
    module.eval()
    parts: list[Tensor] = []
    with torch.no_grad():
        for places in in_order(len(samples), BATCH):
            images = prepare(samples.images(places).to(device), contract)
            parts.append(module(as_input(images)))
            if meter is not None:
                meter.advance(len(places), "features")
    return torch.cat(parts)


def score(logits: Tensor, labels: NDArray[np.int64], loss: str = "cross_entropy") -> Score:
    """Scores logits.

    The standard error is that of a mean of binomial shares, one a class; each variance is taken at
    (right + 1) / (n + 2), so that a class that is all right by chance is not held for certain.

    Args:
        logits: (N, K).
        labels: (N,), N at least 1.
        loss: A name in `LOSSES`.
    """
    right = logits.argmax(dim=1).cpu().numpy() == labels
    recalls, variances = [], []
    for each in np.unique(labels):
        hits = right[labels == each]
        share = (hits.sum() + 1) / (len(hits) + 2)
        recalls.append(float(hits.mean()))
        variances.append(share * (1 - share) / len(hits))
    value = float(LOSSES[loss](logits.float(), torch.from_numpy(labels).to(logits.device), 0.0))
    return Score(accuracy=float(right.mean()), balanced=float(np.mean(recalls)),
                 se=math.sqrt(sum(variances)) / len(recalls), loss=value)


def folds(labels: NDArray[np.int64], seed: int, *, count: int = FOLDS, repeats: int = 1) -> list[tuple[Rows, Rows]]:
    """Draws stratified folds.

    A class with fewer than `count` samples lowers the number of folds, to 2 at the least. A class with a single
    sample stays on the training side of each fold: nothing could be learned of it otherwise.

    Args:
        labels: (N,) class indices.
        seed: Draws them.
        count: Folds a repeat, at most.
        repeats: Times that the samples are dealt anew.

    Returns:
        Pairs of places to train on and places held out; within a repeat, the latter are disjoint.
    """
    sizes = np.bincount(labels)
    count = min(count, max(2, int(sizes[sizes > 1].min(initial=count))))
    draw = np.random.default_rng(seed)
    pairs: list[tuple[Rows, Rows]] = []
    for _ in range(repeats):
        dealt = _deal(labels, count, draw)
        pairs += [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(count)]
    return [(train, held) for train, held in pairs if len(held) and len(train)]


def _deal(labels: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    dealt = np.full(len(labels), -1, dtype=np.int64)
    first = 0
    for each in np.unique(labels):
        places = draw.permutation(np.flatnonzero(labels == each))
        if len(places) > 1:
            dealt[places] = (first + np.arange(len(places))) % count
            first += len(places)  # the next class goes on where this one ended, so that folds are of equal size
    return dealt


def hold_out(labels: NDArray[np.int64], seed: int) -> tuple[Rows, Rows]:
    """Splits samples into four fifths and one fifth, class by class, for trainings that have no validation split.

    Returns:
        Places to train on and places held out; the latter are empty where no class has two samples.
    """
    pairs = folds(labels, seed)
    return pairs[0] if pairs else (np.arange(len(labels)), np.arange(0))
