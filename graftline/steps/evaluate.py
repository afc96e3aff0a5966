"""The chosen candidate, the control and the baselines on the test split, and what the difference proves."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graftline import checkpoint, events, manifest
from graftline import dataset as datasets
from graftline.dataset import Dataset
from graftline.errors import RefusedError
from graftline.evaluation import EqualCost, Evaluation, Figure, Gain, Predictions, write_predictions
from graftline.jobs import EvaluateJob
from graftline.metrics.classification import confusion, per_class
from graftline.proof import baselines
from graftline.proof.calibration import calibrate
from graftline.proof.cost import equal_cost
from graftline.proof.figures import figures
from graftline.proof.gain import transfer_gain
from graftline.proof.intervals import wilson
from graftline.proof.sides import Model, Sides, gather, right, side


def evaluate(job: EvaluateJob, *, dataset: Path, sources: Path, chosen: Path, control: Path,
             confirmations: list[Path], out: Path) -> Evaluation:
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
        RefusedError: No test samples, chosen or control without weights, or artifacts of different runs.
        DivergedError: Chosen or control answer with NaN.
    """
    data = datasets.read(dataset)
    if not len(data.test):
        raise RefusedError(f"{dataset}: the test split is empty, so nothing can be measured; set target.test_fraction")
    sides = gather(chosen, control, confirmations, data)
    events.progress(0, 0, "training the forest")
    guesses, notes = _guesses(data, job.seed)
    labels = np.asarray(data.test.labels)
    models = {name: {seed: model.test for seed, model in side.items()}
              for name, side in (("chosen", sides.chosen), ("control", sides.control))}
    out.mkdir(parents=True, exist_ok=True)
    write_predictions(out, Predictions(labels, models["chosen"], models["control"], guesses))
    events.progress(0, 0, "resampling")
    written = manifest.write(out, _evaluation(job, data, sides, guesses, sources, notes))
    events.log(_summary(written))
    return written


def _evaluation(job: EvaluateJob, data: Dataset, sides: Sides, guesses: dict[str, NDArray[np.int64]], sources: Path,
                notes: list[str]) -> Evaluation:
    labels = np.asarray(data.test.labels)
    val = np.asarray(data.val.labels)
    chosen, control = next(iter(sides.chosen.values())), next(iter(sides.control.values()))
    calibration = calibrate((chosen.val, val), (chosen.test, labels))
    its_own = calibrate((control.val, val), (control.test, labels))
    test = figures(chosen.test / calibration.temperature, labels, seed=job.seed)
    control_test = figures(control.test / its_own.temperature, labels, seed=job.seed)
    beside = {name: _accuracy(guess, labels) for name, guess in guesses.items()}
    gain = _gain(job, data, sides)
    classes = data.manifest.classes
    predicted = chosen.test.argmax(1)
    return Evaluation(
        classes=classes, dataset_digest=data.manifest.digest, chosen=side(sides.chosen, labels),
        control=side(sides.control, labels), test=test, per_class=per_class(predicted, labels, classes),
        confusion=confusion(predicted, labels, len(classes)).tolist(), control_test=control_test, baselines=beside,
        best=_best({"chosen": test["accuracy"], "control": control_test["accuracy"], **beside}), gain=gain,
        equal_cost=_equal_cost(sources, chosen, control, gain, side(sides.control, labels).converged is True),
        calibration=calibration, examples=len(labels), notes=[*sides.notes, *notes, *_absent(labels, classes)])


def _guesses(data: Dataset, seed: int) -> tuple[dict[str, NDArray[np.int64]], list[str]]:
    forest, notes = baselines.forest(data.train, data.test, seed=seed)
    return {"majority": baselines.majority(data.train, data.test), "forest": forest}, notes


def _gain(job: EvaluateJob, data: Dataset, sides: Sides) -> Gain:
    labels = np.asarray(data.test.labels)
    fewest = int(np.bincount(data.train.labels, minlength=len(data.manifest.classes)).min())
    converged = side(sides.control, labels).converged is True
    gain = transfer_gain(right(sides.chosen, labels), right(sides.control, labels), delta=job.delta, seed=job.seed,
                         converged=converged, labels_per_class=fewest)
    return gain.model_copy(update={"reasons": [*gain.reasons, *(f"{note}." for note in sides.notes)]})


def _equal_cost(sources: Path, chosen: Model, control: Model, gain: Gain, converged: bool) -> EqualCost | None:
    source = manifest.read(sources / chosen.manifest.row.source, checkpoint.CheckpointManifest)
    return equal_cost(source, chosen.manifest.row, control.manifest.row, gain.value, converged=converged)


def _accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> Figure:
    hits = int((predicted == labels).sum())
    low, high = wilson(hits, len(labels))
    return Figure(value=hits / len(labels), low=low, high=high)


def _best(accuracies: dict[str, Figure]) -> str:
    """The first of the highest: a tie is not held against the chosen model."""
    return max(accuracies, key=lambda name: accuracies[name].value)


def _absent(labels: NDArray[np.int64], classes: list[str]) -> list[str]:
    missing = [name for i, name in enumerate(classes) if not (labels == i).any()]
    return [f"{len(missing)} classes have no test samples and are not in the macro figures: "
            f"{', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}"] if missing else []


def _summary(found: Evaluation) -> str:
    sides = f"chosen {found.test['accuracy'].value:.3f}, control {found.control_test['accuracy'].value:.3f}"
    rest = ", ".join(f"{name} {figure.value:.3f}" for name, figure in found.baselines.items())
    return (f"test accuracy on {found.examples:,} samples: {sides}, {rest}; best: {found.best}. Transfer gain "
            f"{found.gain}")
