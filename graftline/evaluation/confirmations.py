"""The chosen candidate and the control, each trained with several seeds: who is there, and what they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.evaluation.result import Side
from graftline.models import checkpoint
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.predictions import predict_logits
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError, RefusedError

CONTROL = "control"


@dataclass(frozen=True)
class Model:
    """One trained model and its answers."""

    manifest: CheckpointManifest
    test: NDArray[np.float32]
    """Logits (N, K) on the test split, or a regression's values."""
    val: NDArray[np.float32]
    """Likewise, (M, K), on the validation split; no rows for confirmations, which need none."""


@dataclass(frozen=True)
class Sides:
    """Both sides by seed, the same seeds on each in the same order; the first is the model that ships."""

    chosen: dict[int, Model]
    control: dict[int, Model]
    notes: list[str]
    """Which seeds were left out, and why."""


def gather(chosen: Path, control: Path, confirmations: Sequence[Path], data: Dataset) -> Sides:
    """Loads every model and runs it over the test split.

    A confirmation that was skipped is passed over; one that failed leaves its seed out on both sides, with a note.
    A chosen model that nothing was trained for is the same whatever the seed, so it stands for each of the control's.

    Args:
        chosen: Checkpoint.
        control: Checkpoint, of the same seed.
        confirmations: Checkpoints of both with further seeds.
        data: The target's dataset.

    Raises:
        RefusedError: Chosen or control have no weights, their seeds differ, or a checkpoint is of other data.
        DivergedError: Chosen or control answer with NaN.
    """
    first, against = _required(chosen, data), _required(control, data)
    ours, theirs = {first.manifest.seed: first}, {against.manifest.seed: against}
    if ours.keys() != theirs.keys():
        raise RefusedError(
            f"{control}: trained with seed {against.manifest.seed}, {chosen} with "
            f"{first.manifest.seed}; give the chosen candidate and the control of one run"
        )
    notes: list[str] = []
    for folder in confirmations:
        found = manifest.read(folder, CheckpointManifest)
        if found.row.status == "skipped":
            continue
        model, why = _confirmation(folder, found, data)
        if model is None:
            notes.append(f"Seed {found.seed} was left out on both sides: {found.name} {why}")
        else:
            (theirs if found.strategy == CONTROL else ours).setdefault(found.seed, model)
    if first.manifest.strategy == "zero":
        ours = dict.fromkeys(theirs, first)
    common = [seed for seed in ours if seed in theirs]
    return Sides({seed: ours[seed] for seed in common}, {seed: theirs[seed] for seed in common}, notes)


def outputs(models: dict[int, Model]) -> NDArray[np.float32]:
    """Returns what each seed says of test, (S, N, K)."""
    return np.stack([model.test for model in models.values()])


def side(models: dict[int, Model], scores: list[float], task: str) -> Side:
    """Returns a side's cost and main figure, seed by seed; converged only where every seed did."""
    rows = [model.manifest.row for model in models.values()]
    first = next(iter(models.values())).manifest
    converged = [row.converged for row in rows]
    return Side(
        name=first.name,
        seeds=list(models),
        examples_seen=[row.examples_seen for row in rows],
        seconds=[row.train_seconds for row in rows],
        learning_rate=first.row.learning_rate,
        converged=None if None in converged else all(converged),
        **{"accuracy_by_seed" if task == "classification" else "score_by_seed": scores},
    )


def _required(folder: Path, data: Dataset) -> Model:
    found = manifest.read(folder, CheckpointManifest)
    if found.row.status != "ok":
        raise RefusedError(
            f"{folder}: {found.name} ended as {found.row.status!r} "
            f"({found.row.reason or 'no reason given'}), so there is nothing to compare; "
            "lower its learning rate or its batch size and run again"
        )
    return _run(folder, found, data, val=True)


def _confirmation(folder: Path, found: CheckpointManifest, data: Dataset) -> tuple[Model | None, str]:
    if found.row.status != "ok":
        return None, f"ended as {found.row.status!r}"
    try:
        return _run(folder, found, data, val=False), ""
    except DivergedError as error:
        return None, f"is of no use: {error}"


def _run(folder: Path, found: CheckpointManifest, data: Dataset, *, val: bool) -> Model:
    if found.classes != data.manifest.classes:
        raise RefusedError(
            f"{folder}: {found.name} knows the classes {found.classes[:5]}, the dataset has "
            f"{data.manifest.classes[:5]}; give artifacts of one run"
        )
    if found.task != data.manifest.task:
        raise RefusedError(
            f"{folder}: {found.name} was made for {found.task}, the dataset is for "
            f"{data.manifest.task}; give artifacts of one run"
        )
    if found.dataset_digest not in (data.manifest.digest, None) and found.strategy != "zero":
        raise RefusedError(
            f"{folder}: {found.name} was trained on dataset {found.dataset_digest}, given is "
            f"{data.manifest.digest}; give artifacts of one run"
        )
    network, _ = checkpoint.load(folder)
    test = predict_logits(network, found.input, data.test, name=found.name)
    if not val or not len(data.val):
        return Model(found, test, test[:0])
    return Model(found, test, predict_logits(network, found.input, data.val, name=found.name))
