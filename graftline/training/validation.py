"""Outputs over a set of samples, the main metric with its standard error, stratified folds."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.data.stratification import ANY, iterative, quantile_bins
from graftline.evaluation.metrics.multilabel import average_precisions
from graftline.models.checkpoint import InputContract
from graftline.models.devices import as_input, sent
from graftline.models.inputs.preprocessing import prepare
from graftline.models.objective import Objective
from graftline.training.batches.losses import loss_of
from graftline.training.batches.samples import Indices, Samples, sequential_batches
from graftline.training.progress import Progress

BATCH = 128
"""Images a forward pass without gradients, at most."""
CACHED = 300_000, 8
"""Pixels of a batch on a CPU, and the least images: the activations of more leave its caches, which takes up to twice
as long an image."""
FOLDS = 5
REPEATS = 2

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """How well held-out samples are told apart, or how near their numbers are."""

    accuracy: float | None
    """None where a task has none."""
    main: float
    """Higher is better. Classification: mean over classes of recall; multilabel: mean over labels of average precision;
    both over those that have samples. Regression: minus the mean over outputs of RMSE over the output's deviation."""
    se: float
    """Standard error of `main`."""
    loss: float

    @property
    def told(self) -> dict[str, float]:
        """What whoever watches is told."""
        return {"val_score": self.main} if self.accuracy is None else {"val_accuracy": self.accuracy}

    @property
    def point(self) -> dict[str, float | None]:
        """What a learning curve's point takes."""
        return {"val_loss": self.loss, "val_accuracy": self.accuracy, "val_score": self.main}


def outputs(
    module: nn.Module,
    samples: Samples,
    contract: InputContract,
    device: torch.device,
    progress: Progress | None = None,
    change: Change | None = None,
) -> Tensor:
    """Returns what a module says of each sample, in eval mode.

    Args:
        module: A network (logits) or its backbone (features), on `device`.
        samples: (N,).
        contract: What turns stored images into the module's input.
        device: Where the module is.
        meter: Told of each batch, where the pass is work that the step has planned.
        change: Of the normalised images (B, c, h, w), such as an augmentation; none by default.

    Returns:
        float32 (N, K) or (N, D), on the device.
    """
    module.eval()
    parts: list[Tensor] = []
    with torch.no_grad():
        for places in sequential_batches(len(samples), _at_once(contract, device)):
            images = prepare(sent(samples.images(places), device), contract)
            parts.append(module(as_input(images if change is None else change(images))))
            if progress is not None:
                progress.advance(len(places), "features")
    return torch.cat(parts)


def _at_once(contract: InputContract, device: torch.device) -> int:
    pixels, least = CACHED
    return BATCH if device.type != "cpu" else min(BATCH, max(least, pixels // (contract.height * contract.width)))


def score(
    logits: Tensor,
    labels: NDArray[Any],
    loss: str = "cross_entropy",
    objective: Objective = Objective(),  # noqa: B008
) -> Score:
    """Scores outputs by their task.

    Args:
        logits: (N, K), or values (N, D).
        labels: (N,), (N, K) or (N, D), N at least 1.
        loss: As configured.
        objective: What the outputs mean.
    """
    value = loss_of(loss, objective)(logits.float(), torch.from_numpy(labels).to(logits.device), 0.0)
    accuracy, main, se = _SCORES[objective.task](logits.float().cpu().numpy(), labels, objective)
    return Score(accuracy, main, se, float(value))


def _score_classes(logits: NDArray[np.float32], labels: NDArray[Any], _: Objective) -> tuple[float, float, float]:
    """Balanced accuracy; its standard error is that of a mean of binomial shares, one a class."""
    right = logits.argmax(1) == labels
    of_class = [right[labels == each] for each in np.unique(labels)]
    recall = float(np.mean([hits.mean() for hits in of_class]))
    return float(right.mean()), recall, _binomial([(float(hits.sum()), len(hits)) for hits in of_class])


def _score_labels(logits: NDArray[np.float32], labels: NDArray[Any], _: Objective) -> tuple[None, float, float]:
    """Macro average precision; its standard error by the positives of each label (Boyd, Eng and Page 2013)."""
    found = average_precisions(np.nan_to_num(logits), labels)
    judged = np.isfinite(found)
    if not judged.any():
        return None, 0.0, 1.0
    counts = labels.sum(0)[judged]
    return (
        None,
        float(found[judged].mean()),
        _binomial([(float(each * count), int(count)) for each, count in zip(found[judged], counts, strict=True)]),
    )


def _score_numbers(
    values: NDArray[np.float32], labels: NDArray[Any], objective: Objective
) -> tuple[None, float, float]:
    """Minus the mean standardised RMSE; its standard error by the delta method."""
    squares = ((values.astype(np.float64) - labels) / np.array(objective.deviation)) ** 2
    errors = np.sqrt(squares.mean(0))
    influence = (squares / np.maximum(2 * errors, np.finfo(np.float64).tiny)).mean(1)
    spread = float(influence.std(ddof=1)) if len(labels) > 1 else float(errors.mean())
    return None, -float(errors.mean()), spread / math.sqrt(len(labels))


def _binomial(groups: list[tuple[float, int]]) -> float:
    """Standard error of a mean of shares, of right ones and all ones each.

    Each variance is taken at (right + 1) / (n + 2), so that a group that is all right by chance is not held for
    certain.
    """
    shares = [((right + 1) / (count + 2), count) for right, count in groups]
    return math.sqrt(sum(share * (1 - share) / count for share, count in shares)) / len(shares)


_SCORES: dict[str, Callable[[NDArray[np.float32], NDArray[Any], Objective], tuple[float | None, float, float]]] = {
    "classification": _score_classes,
    "multilabel": _score_labels,
    "regression": _score_numbers,
}


def folds(labels: NDArray[Any], seed: int, *, count: int = FOLDS, repeats: int = 1) -> list[tuple[Indices, Indices]]:
    """Draws stratified folds: by class, by quantile bins of numbers, or by iteration over several labels.

    A class with fewer than `count` samples lowers the number of folds, to 2 at the least. A class with a single
    sample stays on the training side of each fold: nothing could be learned of it otherwise.

    Args:
        labels: (N,) class indices, (N, K) of 0 and 1, or (N, D) numbers.
        seed: Draws them.
        count: Folds a repeat, at most.
        repeats: Times that the samples are dealt anew.

    Returns:
        Pairs of places to train on and places held out; within a repeat, the latter are disjoint.
    """
    several = labels.ndim == 2 and bool(np.isin(labels, (0, 1)).all())
    if labels.ndim == 2 and not several:
        labels = quantile_bins(labels)
    sizes = labels.sum(0).astype(int) if several else np.bincount(labels)
    count = min(count, max(2, int(sizes[sizes > 1].min(initial=count))))
    draw = np.random.default_rng(seed)
    pairs: list[tuple[Indices, Indices]] = []
    for _ in range(repeats):
        dealt = _deal_labels(labels, count, draw) if several else _deal(labels, count, draw)
        pairs += [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(count)]
    return [(train, held) for train, held in pairs if len(held) and len(train)]


def _deal_labels(labels: NDArray[Any], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    order = draw.permutation(len(labels))
    sizes = [Counter([ANY, *map(str, np.flatnonzero(labels[place]))]) for place in order]
    total = sum(sizes, Counter[str]())
    want = {fold: Counter({name: number / count for name, number in total.items()}) for fold in range(count)}
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[order] = iterative(sizes, want)
    return dealt


def _deal(labels: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    dealt = np.full(len(labels), -1, dtype=np.int64)
    first = 0
    for each in np.unique(labels):
        places = draw.permutation(np.flatnonzero(labels == each))
        if len(places) > 1:
            dealt[places] = (first + np.arange(len(places))) % count
            first += len(places)  # the next class goes on where this one ended, so that folds are of equal size
    return dealt


def hold_out(labels: NDArray[Any], seed: int) -> tuple[Indices, Indices]:
    """Splits samples into four fifths and one fifth, stratified as folds are, for trainings without a validation split.

    Returns:
        Places to train on and places held out; the latter are empty where no class has two samples.
    """
    pairs = folds(labels, seed)
    return pairs[0] if pairs else (np.arange(len(labels)), np.arange(0))
