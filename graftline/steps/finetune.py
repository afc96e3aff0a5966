"""One candidate: a source, a strategy, the target's data; to a checkpoint and its row."""

import time
from dataclasses import dataclass
from pathlib import Path

from graftline import checkpoint, events
from graftline import dataset as datasets
from graftline.checkpoint import CheckpointManifest, Row
from graftline.dataset import Dataset
from graftline.errors import DivergedError
from graftline.jobs import Candidate
from graftline.strategies import STRATEGIES
from graftline.training import devices, recipe
from graftline.training.batches import Samples
from graftline.training.crossvalidation import Crossed, cross_validate
from graftline.training.meter import Meter
from graftline.training.task import NotApplicableError, Start, Task, Trained
from graftline.training.validation import FOLDS, REPEATS, score

NO_WEIGHTS = "none: random weights"
CARRYING = ("zero", "feature", "partial", "staged", "full")


@dataclass(frozen=True)
class Result:
    """A training that went well."""

    trained: Trained
    row: Row


def finetune(job: Candidate, *, sources: Path, dataset: Path, out: Path) -> CheckpointManifest:
    """Trains one candidate and scores it on validation.

    Args:
        job: What to train.
        sources: Made by `plan`: a source checkpoint a label.
        dataset: The target's dataset artifact.
        out: Becomes a checkpoint. Where the training diverged, ran out of memory or had nothing to work on, it
            has no weights and `row.status` and `row.reason` say so.

    Returns:
        The checkpoint's manifest.

    Raises:
        RefusedError: An option does not fit the backbone, such as a layer that it does not have.
    """
    network, source = checkpoint.load(sources / job.source)
    if job.skip:
        return _without_weights(job, source, out, "skipped", "one seed was asked for")
    data = datasets.read(dataset)
    task = _task(job, Start(network, source), data)
    devices.settle_threads(network, task.contract)
    try:
        result = _train(job, task)
    except DivergedError as error:
        return _without_weights(job, source, out, "diverged", str(error))
    except NotApplicableError as error:
        return _without_weights(job, source, out, "not applicable", str(error))
    except (RuntimeError, MemoryError) as error:
        if not devices.is_out_of_memory(error):
            raise
        return _without_weights(job, source, out, "oom", str(error).strip().splitlines()[0] or "out of memory")
    return _write(job, source, data, result, out)


def _task(job: Candidate, start: Start, data: Dataset) -> Task:
    pool = Samples([data.train, data.val])
    places = pool.rows
    return Task(start=start, options=job.strategy, train=pool.subset(places[:len(data.train)]),
                val=pool.subset(places[len(data.train):]), classes=data.manifest.classes,
                image_shape=data.manifest.image_shape, head=job.head, training=job.training, control=job.control,
                longest=job.longest, control_rate=job.control_rate, seed=job.seed, device=devices.pick(),
                meter=Meter(_work(job, len(data.train), len(pool))))


def _work(job: Candidate, train: int, pool: int) -> int:
    """Returns how many images the step will show, about: the kept training and, where there are any, the folds."""
    if job.strategy is None:
        return job.longest
    work = recipe.presentations(job.strategy, job.training, train)
    if job.cross_validate:
        inside = pool * (FOLDS - 1) // FOLDS
        work += REPEATS * FOLDS * recipe.presentations(job.strategy, job.training, inside)
    return work


def _train(job: Candidate, task: Task) -> Result:
    train = STRATEGIES[job.strategy_name]
    crossed: Crossed | None = None
    if job.cross_validate and not job.is_control:
        samples = task.train.whole()
        crossed = cross_validate(train, task, samples)
    began = time.perf_counter()
    trained = train(task)
    seconds = time.perf_counter() - began
    row = Row(source=job.source, strategy=job.strategy_name, train_seconds=seconds,
              presentations=trained.presentations, trained_parameters=trained.trained_parameters,
              converged=trained.converged, learning_rate=trained.learning_rate, notes=trained.notes)
    if crossed is not None:
        scored = {"val_accuracy": crossed.accuracy, "val_score": crossed.balanced, "val_score_se": crossed.se,
                  "val_method": crossed.method}
    elif len(task.val):
        found = score(trained.predict(task.val), task.val.labels)
        scored = {"val_accuracy": found.accuracy, "val_score": found.balanced, "val_score_se": found.se,
                  "val_method": "validation split"}
    else:
        scored = {"val_method": "none: no validation images"}
    task.meter.finish()
    return Result(trained, row.model_copy(update=scored))


def _write(job: Candidate, source: CheckpointManifest, data: Dataset, result: Result, out: Path) -> CheckpointManifest:
    trained = result.trained
    carries = job.strategy_name in CARRYING
    manifest = _manifest(job, source, result.row).model_copy(update={
        "small": trained.small, "head": trained.head, "source_head": trained.source_head,
        "mapped_from": trained.mapped_from, "architecture": trained.architecture,
        "classes": data.manifest.classes, "input": trained.contract, "dataset_digest": data.manifest.digest,
        "parent": source.digest if carries else None, "licence": source.licence if carries else NO_WEIGHTS,
        "reinitialised": trained.reinitialised, "dropped": trained.dropped, "history": trained.history})
    events.log(f"{job.name}: {result.row.val_method}: {result.row.val_score}, "
               f"{result.row.train_seconds:.1f} s, {result.row.presentations} presentations")
    return checkpoint.write(out, manifest, trained.network)


def _manifest(job: Candidate, source: CheckpointManifest, row: Row) -> CheckpointManifest:
    return CheckpointManifest(name=job.name, backbone=source.backbone, small=source.small, head=job.head,
                              architecture=source.architecture, classes=source.classes, input=source.input,
                              strategy=job.strategy_name, seed=job.seed, dataset_digest=None, config=job.to_json(),
                              licence=source.licence, row=row)


def _without_weights(job: Candidate, source: CheckpointManifest, out: Path, status: str,
                     reason: str) -> CheckpointManifest:
    events.log(f"{job.name}: {status}: {reason}")
    row = Row(source=job.source, strategy=job.strategy_name, status=status, reason=reason)
    return checkpoint.write(out, _manifest(job, source, row), None)
