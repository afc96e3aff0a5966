"""The chosen candidate and the control, each trained with several seeds, and their outputs on test."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dataset
from graftline.evaluation.result import ConfirmationResults
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.predictions import predict_logits
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError, RefusedError

CONTROL = "control"


@dataclass(frozen=True)
class EvaluatedModel:
    """A trained model with its outputs."""

    manifest: CheckpointManifest
    test: NDArray[np.float32]
    """Logits (N, K) on the test split, or a regression's values."""
    val: NDArray[np.float32]
    """The same, (M, K), on the validation split; without rows for confirmations, which need none."""


@dataclass(frozen=True)
class Confirmations:
    """Models of candidate and control by seed, both with the same seeds in the same order; the first is released."""

    chosen: dict[int, EvaluatedModel]
    control: dict[int, EvaluatedModel]
    notes: list[str]
    """Excluded seeds, with the reason."""


def load_confirmations(chosen: Path, control: Path, confirmations: Sequence[Path], data: Dataset) -> Confirmations:
    """Loads every model and runs it over the test split.

    Skipped confirmations are ignored; a failed one excludes its seed for candidate and control, with a note. A chosen
    model without training does not depend on the seed and is compared with every control.

    Args:
        chosen: Checkpoint.
        control: Checkpoint, of the same seed.
        confirmations: Checkpoints of both with further seeds.
        data: The target's dataset.

    Raises:
        RefusedError: Chosen or control have no weights, their seeds differ, or a checkpoint is of other data.
        DivergedError: Chosen or control have outputs with NaN.
    """
    first, against = _required(chosen, data), _required(control, data)
    candidates, controls = {first.manifest.seed: first}, {against.manifest.seed: against}
    if candidates.keys() != controls.keys():
        raise RefusedError(
            f"{control}: trained with seed {against.manifest.seed}, {chosen} with "
            f"{first.manifest.seed}; give the chosen candidate and the control of one run"
        )
    notes: list[str] = []
    for folder in confirmations:
        trained = manifest.read(folder, CheckpointManifest)
        if trained.row.status == "skipped":
            continue
        model, why = _confirmation(folder, trained, data)
        if model is None:
            notes.append(f"Seed {trained.seed} was left out on both sides: {trained.name} {why}")
        else:
            (controls if trained.strategy == CONTROL else candidates).setdefault(trained.seed, model)
    if not first.manifest.row.examples_seen:  # trained on nothing, so one model stands for every seed
        candidates = dict.fromkeys(controls, first)
    common = [seed for seed in candidates if seed in controls]
    return Confirmations({seed: candidates[seed] for seed in common}, {seed: controls[seed] for seed in common}, notes)


def stack_outputs(models: dict[int, EvaluatedModel]) -> NDArray[np.float32]:
    """Returns the outputs on test, (S, N, K)."""
    return np.stack([model.test for model in models.values()])


def confirmation_results(
    models: dict[int, EvaluatedModel], scores: list[float], *, has_accuracy: bool
) -> ConfirmationResults:
    """Returns cost and main metric by seed; `converged` only where every seed has converged."""
    rows = [model.manifest.row for model in models.values()]
    first = next(iter(models.values())).manifest
    converged = [row.converged for row in rows]
    return ConfirmationResults(
        name=first.name,
        seeds=list(models),
        examples_seen=[row.examples_seen for row in rows],
        seconds=[row.train_seconds for row in rows],
        learning_rate=first.row.learning_rate,
        converged=None if None in converged else all(converged),
        **{"accuracy_by_seed" if has_accuracy else "score_by_seed": scores},
    )


def _required(folder: Path, data: Dataset) -> EvaluatedModel:
    trained = manifest.read(folder, CheckpointManifest)
    if trained.row.status != "ok":
        raise RefusedError(
            f"{folder}: {trained.name} ended as {trained.row.status!r} "
            f"({trained.row.reason or 'no reason given'}), so there is nothing to compare; "
            "lower its learning rate or its batch size and run again"
        )
    return _run(folder, trained, data, val=True)


def _confirmation(folder: Path, trained: CheckpointManifest, data: Dataset) -> tuple[EvaluatedModel | None, str]:
    if trained.row.status != "ok":
        return None, f"ended as {trained.row.status!r}"
    try:
        return _run(folder, trained, data, val=False), ""
    except DivergedError as error:
        return None, f"is of no use: {error}"


def _run(folder: Path, trained: CheckpointManifest, data: Dataset, *, val: bool) -> EvaluatedModel:
    from graftline.models.loading import load_checkpoint  # imports torch

    if trained.classes != data.manifest.classes:
        raise RefusedError(
            f"{folder}: {trained.name} knows the classes {trained.classes[:5]}, the dataset has "
            f"{data.manifest.classes[:5]}; give artifacts of one run"
        )
    if trained.task != data.manifest.task:
        raise RefusedError(
            f"{folder}: {trained.name} was made for {trained.task}, the dataset is for "
            f"{data.manifest.task}; give artifacts of one run"
        )
    if trained.dataset_digest not in (data.manifest.digest, None) and trained.row.examples_seen:
        raise RefusedError(
            f"{folder}: {trained.name} was trained on dataset {trained.dataset_digest}, given is "
            f"{data.manifest.digest}; give artifacts of one run"
        )
    network, _ = load_checkpoint(folder)
    test = predict_logits(network, trained.input, data.test, name=trained.name)
    if not val or not len(data.val):
        return EvaluatedModel(trained, test, test[:0])
    return EvaluatedModel(trained, test, predict_logits(network, trained.input, data.val, name=trained.name))
