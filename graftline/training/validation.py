"""Network outputs for samples, scores with standard errors, and stratified folds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.data.stratification import ANY, iterative, quantile_bins
from graftline.evaluation.tasks import TASKS
from graftline.models.devices import as_input, sent
from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import prepare
from graftline.models.objective import Objective
from graftline.training.batches.losses import loss_of
from graftline.training.batches.samples import Indices, Samples, sequential_batches
from graftline.training.progress import Progress

BATCH = 128
"""Maximum batch size of a forward pass without gradients."""
CACHED = 300_000, 8
"""Maximum number of pixels of a batch on a CPU, and its minimum number of images. With more pixels, activations do not
fit into the CPU's caches, and an image takes up to twice as long."""
FOLDS = 5
"""Number of folds of cross-validation."""
REPEATS = 2
"""Number of repeats of cross-validation."""

Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """Metrics on held-out samples."""

    accuracy: float | None
    """Accuracy; None if the task has none."""
    main: float
    """Score for selecting candidates, higher is better; see `TaskKind.validation_score`."""
    se: float
    """Standard error of `main`."""
    loss: float

    @property
    def progress_values(self) -> dict[str, float]:
        """Values for the progress display."""
        return {"val_score": self.main} if self.accuracy is None else {"val_accuracy": self.accuracy}

    @property
    def point(self) -> dict[str, float | None]:
        """Values for a point of the learning curve."""
        return {"val_loss": self.loss, "val_accuracy": self.accuracy, "val_score": self.main}


def outputs(
    module: nn.Module,
    samples: Samples,
    contract: InputContract,
    device: torch.device,
    progress: Progress | None = None,
    change: Change | None = None,
) -> Tensor:
    """Returns a module's outputs for each sample, computed in eval mode.

    Args:
        module: A network (logits) or its backbone (features), on `device`.
        samples: N samples.
        contract: Input contract that converts stored images to the module's input.
        device: Device of the module.
        progress: Progress counter of samples; None if the pass is not part of the planned work.
        change: Applied to the normalized images (B, c, h, w), such as an augmentation; none by default.

    Returns:
        float32 (N, K) or (N, D), on the device.
    """
    module.eval()
    parts: list[Tensor] = []
    with torch.no_grad():
        for indices in sequential_batches(len(samples), _at_once(contract, device)):
            images = prepare(sent(samples.images(indices), device), contract)
            parts.append(module(as_input(images if change is None else change(images))))
            if progress is not None:
                progress.advance(len(indices), "features")
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
    """Returns the loss and the task's scores for a set of outputs.

    Args:
        logits: Logits (N, K), or values (N, D).
        labels: (N,), (N, K) or (N, D), N at least 1.
        loss: Name of the configured loss.
        objective: The task and the meaning of the outputs.
    """
    value = loss_of(loss, objective)(logits.float(), torch.from_numpy(labels).to(logits.device), 0.0)
    score_outputs = TASKS[objective.task].validation_score
    accuracy, main, se = score_outputs(logits.float().cpu().numpy(), labels, np.array(objective.deviation))
    return Score(accuracy, main, se, float(value))


def folds(labels: NDArray[Any], seed: int, *, count: int = FOLDS, repeats: int = 1) -> list[tuple[Indices, Indices]]:
    """Draws folds that are stratified by class, by quantile bins of numbers, or iteratively by multiple labels.

    If a class has fewer than `count` samples, the number of folds is reduced accordingly, but not below 2. If a class
    has a single sample, it is in the training part of every fold.

    Args:
        labels: (N,) class indices, (N, K) of 0 and 1, or (N, D) numbers.
        seed: Seed of the random generator.
        count: Maximum number of folds per repeat.
        repeats: Number of times that the samples are divided.

    Returns:
        Pairs of training indices and held-out indices; within a repeat, the held-out indices are disjoint.
    """
    is_multi_hot = labels.ndim == 2 and bool(np.isin(labels, (0, 1)).all())
    if labels.ndim == 2 and not is_multi_hot:
        labels = quantile_bins(labels)
    sizes = labels.sum(0).astype(int) if is_multi_hot else np.bincount(labels)
    count = min(count, max(2, int(sizes[sizes > 1].min(initial=count))))
    draw = np.random.default_rng(seed)
    pairs: list[tuple[Indices, Indices]] = []
    for _ in range(repeats):
        dealt = _deal_labels(labels, count, draw) if is_multi_hot else _deal(labels, count, draw)
        pairs += [(np.flatnonzero(dealt != fold), np.flatnonzero(dealt == fold)) for fold in range(count)]
    return [(train, held) for train, held in pairs if len(held) and len(train)]


def _deal_labels(labels: NDArray[Any], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    order = draw.permutation(len(labels))
    sizes = [Counter([ANY, *map(str, np.flatnonzero(labels[index]))]) for index in order]
    total = sum(sizes, Counter[str]())
    want = {fold: Counter({name: number / count for name, number in total.items()}) for fold in range(count)}
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[order] = iterative(sizes, want)
    return dealt


def _deal(labels: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    dealt = np.full(len(labels), -1, dtype=np.int64)
    first = 0
    for value in np.unique(labels):
        indices = draw.permutation(np.flatnonzero(labels == value))
        if len(indices) > 1:
            dealt[indices] = (first + np.arange(len(indices))) % count
            first += len(indices)  # the next class starts at the next fold, so that folds have equal sizes
    return dealt


def hold_out(labels: NDArray[Any], seed: int) -> tuple[Indices, Indices]:
    """Splits samples into four fifths and one fifth, stratified as in `folds`, for data without a validation split.

    Returns:
        Training indices and held-out indices; the latter are empty if no class has two samples.
    """
    pairs = folds(labels, seed)
    return pairs[0] if pairs else (np.arange(len(labels)), np.arange(0))
