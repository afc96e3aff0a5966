"""The chosen candidate, the control and the baselines on the test split, and what the difference proves."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.config.jobs import EvaluateJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.evaluation.confirmations import Model, Sides, gather, outputs, side
from graftline.evaluation.result import EqualCost, Evaluation, Figure, Gain, Predictions, Side, write_predictions
from graftline.evaluation.tasks import TASKS, Rules
from graftline.evaluation.tasks.truth import Truth, truth_of
from graftline.evaluation.verdict.cost import equal_cost
from graftline.evaluation.verdict.gain import judged
from graftline.models import checkpoint
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError


def evaluate(
    job: EvaluateJob, *, dataset: Path, sources: Path, chosen: Path, control: Path, confirmations: list[Path], out: Path
) -> Evaluation:
    """Measures everything once on test and writes the metrics artifact.

    Args:
        job: Delta and seed.
        dataset: The target's dataset artifact.
        sources: plan's folder of source checkpoints, `<label>/` each.
        chosen: The checkpoint that validation chose.
        control: The same network trained from random weights.
        confirmations: Both with further seeds; some may be skipped or failed.
        out: The metrics artifact.

    Raises:
        RefusedError: No test samples, no labels, chosen or control without weights, or artifacts of different runs.
        DivergedError: Chosen or control answer with NaN.
    """
    data = datasets.read(dataset)
    if not len(data.test):
        raise RefusedError(f"{dataset}: the test split is empty, so nothing can be measured; set target.test_fraction")
    if data.manifest.task not in TASKS:
        raise RefusedError(f"{dataset}: has no labels, so nothing can be measured; give labelled data")
    rules = TASKS[data.manifest.task]
    sides = gather(chosen, control, confirmations, data)
    events.progress(0, 0, "training the forest")
    guesses, notes = rules.guesses(data, seed=job.seed)
    truth = truth_of(data.test, data.manifest)
    models = {
        name: {seed: model.test for seed, model in side.items()}
        for name, side in (("chosen", sides.chosen), ("control", sides.control))
    }
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out, Predictions(truth.labels, models["chosen"], models["control"], guesses))
    events.progress(0, 0, "resampling")
    written = manifest.write(out, _evaluation(job, rules, data, truth, sides, guesses, sources, notes))
    events.log(_summary(written, rules.MAIN))
    return written


def _evaluation(
    job: EvaluateJob,
    rules: Rules,
    data: Dataset,
    truth: Truth,
    sides: Sides,
    guesses: dict[str, NDArray[Any]],
    sources: Path,
    notes: list[str],
) -> Evaluation:
    val = np.asarray(data.val.labels)
    chosen, control = next(iter(sides.chosen.values())), next(iter(sides.control.values()))
    calibration, its_own = (
        rules.calibrated((model.val, val), (model.test, truth.labels)) for model in (chosen, control)
    )
    test, rows = rules.scored(
        chosen.test, truth, temperature=calibration.temperature if calibration else 1.0, seed=job.seed
    )
    control_test, _ = rules.scored(
        control.test, truth, temperature=its_own.temperature if its_own else 1.0, seed=job.seed
    )
    beside = {name: rules.guessed(guess, truth, seed=job.seed) for name, guess in guesses.items()}
    ours, theirs = (_side(rules, truth, models, data.manifest.task) for models in (sides.chosen, sides.control))
    gain = _gain(job, rules, data, truth, sides, converged=theirs.converged is True)
    return Evaluation(
        task=data.manifest.task,
        classes=truth.names,
        dataset_digest=data.manifest.digest,
        chosen=ours,
        control=theirs,
        test=test,
        per_class=rows,
        confusion=rules.confused(chosen.test, truth),
        control_test=control_test,
        baselines=beside,
        gain=gain,
        best=_best({"chosen": test[rules.MAIN], "control": control_test[rules.MAIN], **beside}, rules),
        equal_cost=_equal_cost(sources, chosen, control, gain, theirs.converged is True),
        calibration=calibration,
        examples=len(data.test),
        notes=[*sides.notes, *notes, *_absent(rows, data.manifest.task)],
    )


def _side(rules: Rules, truth: Truth, models: dict[int, Model], task: str) -> Side:
    return side(models, [rules.score(model.test, truth) for model in models.values()], task)


def _gain(job: EvaluateJob, rules: Rules, data: Dataset, truth: Truth, sides: Sides, *, converged: bool) -> Gain:
    found = rules.difference(outputs(sides.chosen), outputs(sides.control), truth, seed=job.seed)
    gain = judged(
        found,
        measure=rules.MAIN,
        seeds=len(sides.chosen),
        delta=job.delta,
        converged=converged,
        fewest=rules.fewest(data),
    )
    return gain.model_copy(update={"reasons": [*gain.reasons, *(f"{note}." for note in sides.notes)]})


def _equal_cost(sources: Path, chosen: Model, control: Model, gain: Gain, converged: bool) -> EqualCost | None:
    source = manifest.read(sources / chosen.manifest.row.source, checkpoint.CheckpointManifest)
    return equal_cost(source, chosen.manifest.row, control.manifest.row, gain.value, converged=converged)


def _best(scores: dict[str, Figure], rules: Rules) -> str:
    """The first of the best: a tie is not held against the chosen model."""
    sign = -1 if rules.LOWER_IS_BETTER else 1
    return max(scores, key=lambda name: sign * scores[name].value)


def _absent(rows: list[dict[str, Any]], task: str) -> list[str]:
    missing = [str(row["class"]) for row in rows if not row["examples"]]
    what = "labels" if task == "multilabel" else "classes"
    return (
        [
            f"{len(missing)} {what} have no test samples and are not in the macro figures: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"
        ]
        if missing
        else []
    )


def _summary(found: Evaluation, main: str) -> str:
    sides = f"chosen {found.test[main].value:.3f}, control {found.control_test[main].value:.3f}"
    rest = ", ".join(f"{name} {figure.value:.3f}" for name, figure in found.baselines.items())
    return (
        f"test {found.gain.unit.figure} on {found.examples:,} samples: {sides}, {rest}; best: {found.best}. "
        f"Transfer gain {found.gain}"
    )
