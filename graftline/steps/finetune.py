"""Trains one candidate, a source with a strategy, on the target's data and writes a checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from graftline.config.jobs import FinetuneJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.models import checkpoint, devices
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.models.objective import Objective
from graftline.runtime import events
from graftline.runtime.errors import DivergedError
from graftline.selection.scoring import Result, images_of, train
from graftline.strategies import STRATEGIES
from graftline.strategies.lookup import resolve, shape_for
from graftline.training.batches.samples import Samples
from graftline.training.interface import NotApplicableError, SourceModel, StrategyInput
from graftline.training.processes import distributed
from graftline.training.processes.launch import run_step
from graftline.training.progress import Progress
from graftline.training.resume.resume import open_journal
from graftline.training.resume.states import state_files

STATE = "state"
NO_WEIGHTS = "none: random weights"


def finetune(
    job: FinetuneJob,
    *,
    sources: Path,
    dataset: Path,
    out: Path,
    earlier: Path | None = None,
    resume: Path | None = None,
) -> CheckpointManifest:
    """Trains one candidate and computes its validation score.

    Args:
        job: The candidate to train.
        sources: The folder of source checkpoints written by `plan`, one per source label.
        dataset: The target's dataset artifact.
        out: Folder for the checkpoint. If training diverged, ran out of memory, or is not applicable, `row.status` and
            `row.reason` give the cause, and the checkpoint has no weights or the last valid ones. A job that pauses
            also writes its state to `out/state`.
        earlier: Folder with the paused checkpoint of the same name, whose state training resumes from.
        resume: A training state (`step-...`) to resume from; takes precedence over `earlier`.

    Returns:
        The checkpoint's manifest.

    Raises:
        RefusedError: An option is not valid for the backbone, such as a layer that does not exist, or the state belongs
            to a different training.
    """
    asked = 1 if job.skip else job.training.processes
    try:
        return run_step(
            "finetune", _finetune, job, asked, out=out, sources=sources, dataset=dataset, earlier=earlier, resume=resume
        )
    except MemoryError as error:
        if distributed.num_processes(asked) == 1:
            raise
        return _without_weights(job, load_checkpoint(sources / job.source)[1], out, "oom", str(error))


def _finetune(
    job: FinetuneJob, *, sources: Path, dataset: Path, out: Path, earlier: Path | None, resume: Path | None
) -> CheckpointManifest:
    network, source = load_checkpoint(sources / job.source)
    if job.skip:
        return _without_weights(job, source, out, "skipped", "one seed was asked for")
    data = datasets.read(dataset)
    task = _task(job, SourceModel(network, source), data)
    devices.settle_threads(network, task.contract)
    try:
        with open_journal(
            _identity(job, source, data), job.checkpoint_uri, rung=job.until, initial=resume or _paused(job, earlier)
        ) as kept:
            result = train(job, replace(task, journal=kept, until=job.until))
            if job.until is not None:
                state_files.write_state(out / STATE, kept.identity, kept.state())
    except DivergedError as error:
        return _without_weights(job, source, out, "diverged", str(error))
    except NotApplicableError as error:
        return _without_weights(job, source, out, "not applicable", str(error))
    except (RuntimeError, MemoryError) as error:
        if not devices.is_out_of_memory(error):
            raise
        why = str(error).strip().partition("\n")[0] or "out of memory"
        if distributed.world_size() > 1:  # other processes may still run and would wait for this one
            raise MemoryError(why) from error
        return _without_weights(job, source, out, "oom", why)
    return _write(job, source, data, result, out)


def _paused(job: FinetuneJob, earlier: Path | None) -> Path | None:
    """Returns the state to resume from, or None for a new training, such as a control in the last rung."""
    state = earlier / job.name / STATE if earlier is not None else None
    return state if state is not None and state.is_dir() else None


def _identity(job: FinetuneJob, source: CheckpointManifest, data: Dataset) -> dict[str, Any]:
    """Returns the settings that must match those of a state to resume from."""
    aside = {"name", "until", "checkpoint_uri", "inputs", "opponent", "skip", "cross_validate"}
    aside |= set() if job.is_control else {"longest"}
    return {"job": job.model_dump(mode="json", exclude=aside), "source": source.digest, "data": data.manifest.identity}


def _task(job: FinetuneJob, start: SourceModel, data: Dataset) -> StrategyInput:
    pool = Samples([data.train, data.val])
    places = pool.indices
    return StrategyInput(
        start=start,
        options=None if job.strategy is None else resolve(job.strategy),
        train=pool.subset(places[: len(data.train)]),
        val=pool.subset(places[len(data.train) :]),
        classes=data.manifest.classes,
        image_shape=data.manifest.image_shape,
        head=job.head,
        training=job.training,
        control=job.control,
        longest=job.longest,
        control_rate=job.control_rate,
        seed=job.seed,
        device=devices.pick(),
        network=None if job.student is None else shape_for(start.manifest, job.student),
        objective=Objective.of(data.manifest),
        progress=Progress(images_of(job, len(data.train), len(pool))),
    )


def _write(
    job: FinetuneJob, source: CheckpointManifest, data: Dataset, result: Result, out: Path
) -> CheckpointManifest:
    trained = result.trained
    carries = STRATEGIES[job.strategy_name].uses_source_weights
    manifest = _manifest(job, source, result.row).model_copy(
        update={
            "backbone": trained.backbone or source.backbone,
            "small": trained.small,
            "head": trained.head,
            "source_head": trained.source_head,
            "mapped_from": trained.mapped_from,
            "architecture": trained.architecture,
            "task": trained.network.task,
            "classes": data.manifest.classes,
            "input": trained.contract,
            "dataset_digest": data.manifest.digest,
            "classes_kept": trained.surgery.kept,
            "classes_new": trained.surgery.new,
            "classes_dropped": trained.surgery.dropped,
            "parent": source.digest if carries else None,
            "licence": source.licence if carries else NO_WEIGHTS,
            "reinitialised": trained.reinitialised,
            "dropped": trained.dropped,
            "history": trained.history,
        }
    )
    events.log(
        f"{job.name}: {result.row.val_method}: {result.row.val_score}, "
        f"{result.row.train_seconds:.1f} s, {result.row.examples_seen} presentations"
    )
    return checkpoint.write(out, manifest, trained.network)


def _manifest(job: FinetuneJob, source: CheckpointManifest, row: CandidateResult) -> CheckpointManifest:
    return CheckpointManifest(
        name=job.name,
        **source.spec.replace(head=job.head, source_head=False, mapped_from=None).fields(),
        strategy=job.strategy_name,
        seed=job.seed,
        dataset_digest=None,
        config=job.to_json(),
        licence=source.licence,
        row=row,
    )


def _without_weights(
    job: FinetuneJob, source: CheckpointManifest, out: Path, status: str, reason: str
) -> CheckpointManifest:
    events.log(f"{job.name}: {status}: {reason}")
    row = CandidateResult(source=job.source, strategy=job.strategy_name, status=status, reason=reason)
    return checkpoint.write(out, _manifest(job, source, row), None)
