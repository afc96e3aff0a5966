"""Compares the chosen candidate, the control, and the baselines on the test split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.config.jobs import EvaluateJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.evaluation.confirmations import (
    Confirmations,
    EvaluatedModel,
    confirmation_results,
    load_confirmations,
    stack_outputs,
)
from graftline.evaluation.result import (
    ConfirmationResults,
    EqualCost,
    Estimate,
    Evaluation,
    Gain,
    Predictions,
    write_predictions,
)
from graftline.evaluation.tasks import TASKS
from graftline.evaluation.tasks.task_kind import TaskKind
from graftline.evaluation.tasks.truth import Truth, truth_of
from graftline.evaluation.verdict.cost import equal_cost
from graftline.evaluation.verdict.gain import judge_gain
from graftline.models import checkpoint
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError


def evaluate(
    job: EvaluateJob, *, dataset: Path, sources: Path, chosen: Path, control: Path, confirmations: list[Path], out: Path
) -> Evaluation:
    """Evaluates all models and baselines once on the test split and writes the evaluation artifact.

    Args:
        job: The evaluation job, with delta and the seed.
        dataset: The target's dataset artifact.
        sources: The folder of source checkpoints written by `plan`, one `<label>/` per source.
        chosen: The checkpoint selected on validation.
        control: The checkpoint of the same network trained from random weights.
        confirmations: Checkpoints of both with additional seeds; some may be skipped or may have failed.
        out: Folder for the evaluation artifact.

    Returns:
        The evaluation.

    Raises:
        RefusedError: There are no test samples or no labels, the chosen candidate or the control has no weights, or the
            artifacts belong to different runs.
        DivergedError: The outputs of the chosen candidate or the control contain NaN.
    """
    data = datasets.read(dataset)
    if not len(data.test):
        raise RefusedError(f"{dataset}: the test split is empty, so nothing can be measured; set target.test_fraction")
    if data.manifest.task not in TASKS:
        raise RefusedError(f"{dataset}: has no labels, so nothing can be measured; give labeled data")
    kind = TASKS[data.manifest.task]
    models = load_confirmations(chosen, control, confirmations, data)
    events.progress(0, 0, "training the forest")
    predictions, notes = kind.baseline_predictions(data, seed=job.seed)
    truth = truth_of(data.test, data.manifest)
    chosen_outputs, control_outputs = (
        {seed: model.test for seed, model in by_seed.items()} for by_seed in (models.chosen, models.control)
    )
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out, Predictions(truth.labels, chosen_outputs, control_outputs, predictions))
    events.progress(0, 0, "resampling")
    tested = _Tested(job, kind, data, truth, models)
    written = manifest.write(out, _evaluation(tested, predictions, sources, notes))
    events.log(_summary(written, kind.main_metric))
    return written


@dataclass(frozen=True)
class _Tested:
    """Trained models with their outputs on the test split."""

    job: EvaluateJob
    kind: TaskKind
    data: Dataset
    truth: Truth
    models: Confirmations


def _evaluation(tested: _Tested, predictions: dict[str, NDArray[Any]], sources: Path, notes: list[str]) -> Evaluation:
    kind, truth, data, seed = tested.kind, tested.truth, tested.data, tested.job.seed
    val = np.asarray(data.val.labels)
    chosen, control = next(iter(tested.models.chosen.values())), next(iter(tested.models.control.values()))
    calibration, control_calibration = (
        kind.calibrate((model.val, val), (model.test, truth.labels)) for model in (chosen, control)
    )
    test, rows = kind.evaluate_metrics(
        chosen.test, truth, temperature=calibration.temperature if calibration else 1.0, seed=seed
    )
    control_test, _ = kind.evaluate_metrics(
        control.test, truth, temperature=control_calibration.temperature if control_calibration else 1.0, seed=seed
    )
    baselines = {name: kind.baseline_score(values, truth, seed=seed) for name, values in predictions.items()}
    chosen_results, control_results = (
        _results(tested, models) for models in (tested.models.chosen, tested.models.control)
    )
    has_converged = control_results.converged is True
    gain = _gain(tested, converged=has_converged)
    main = kind.main_metric
    return Evaluation(
        task=kind.name,
        classes=truth.names,
        dataset_digest=data.manifest.digest,
        chosen=chosen_results,
        control=control_results,
        test=test,
        per_class=rows,
        confusion=kind.confusion_matrix(chosen.test, truth),
        control_test=control_test,
        baselines=baselines,
        gain=gain,
        best=_best({"chosen": test[main], "control": control_test[main], **baselines}, kind),
        equal_cost=_equal_cost(sources, chosen, control, gain, has_converged),
        calibration=calibration,
        examples=len(data.test),
        notes=[*tested.models.notes, *notes, *_absent(rows, kind)],
    )


def _results(tested: _Tested, models: dict[int, EvaluatedModel]) -> ConfirmationResults:
    scores = [tested.kind.score(model.test, tested.truth) for model in models.values()]
    return confirmation_results(models, scores, has_accuracy=tested.kind.main_metric == "accuracy")


def _gain(tested: _Tested, *, converged: bool) -> Gain:
    kind, models = tested.kind, tested.models
    difference = kind.difference(
        stack_outputs(models.chosen), stack_outputs(models.control), tested.truth, seed=tested.job.seed
    )
    gain = judge_gain(
        difference,
        measure=kind.main_metric,
        seeds=len(models.chosen),
        delta=tested.job.delta,
        converged=converged,
        min_class_count=kind.min_class_count(tested.data),
    )
    return gain.model_copy(update={"reasons": [*gain.reasons, *(f"{note}." for note in models.notes)]})


def _equal_cost(
    sources: Path, chosen: EvaluatedModel, control: EvaluatedModel, gain: Gain, converged: bool
) -> EqualCost | None:
    source = manifest.read(sources / chosen.manifest.row.source, checkpoint.CheckpointManifest)
    return equal_cost(source, chosen.manifest.row, control.manifest.row, gain.value, converged=converged)


def _best(scores: dict[str, Estimate], kind: TaskKind) -> str:
    """Returns the name of the best score, or the first of equal scores, so that the chosen model is preferred."""
    sign = -1 if kind.lower_is_better else 1
    return max(scores, key=lambda name: sign * scores[name].value)


def _absent(rows: list[dict[str, Any]], kind: TaskKind) -> list[str]:
    missing = [str(row["class"]) for row in rows if not row["examples"]]
    return (
        [
            f"{len(missing)} {kind.words.nouns[1]} have no test samples and are not in the macro figures: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        ]
        if missing
        else []
    )


def _summary(evaluation: Evaluation, main: str) -> str:
    scores = f"chosen {evaluation.test[main].value:.3f}, control {evaluation.control_test[main].value:.3f}"
    rest = ", ".join(f"{name} {score.value:.3f}" for name, score in evaluation.baselines.items())
    return (
        f"test {evaluation.gain.unit.figure} on {evaluation.examples:,} samples: {scores}, {rest}; "
        f"best: {evaluation.best}. Transfer gain {evaluation.gain}"
    )
