"""One candidate: a source, a strategy, the target's data; to a checkpoint and its row."""

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
    """Trains one candidate and scores it on validation.

    Args:
        job: What to train.
        sources: Made by `plan`: a source checkpoint a label.
        dataset: The target's dataset artifact.
        out: Becomes a checkpoint. Where the training diverged, ran out of memory or had nothing to work on,
            `row.status` and `row.reason` say so, and it has no weights, or the last good ones. A job that pauses
            leaves its state in `out/state` as well.
        earlier: Holds a checkpoint of this name that paused, with its state: the training goes on from there.
        resume: A state (`step-...`) to go on from, named by hand.

    Returns:
        The checkpoint's manifest.

    Raises:
        RefusedError: An option does not fit the backbone, such as a layer that it does not have; or a state is of
            another training.
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
        if distributed.world_size() > 1:  # the others may have had memory enough, and would wait for this one
            raise MemoryError(why) from error
        return _without_weights(job, source, out, "oom", why)
    return _write(job, source, data, result, out)


def _paused(job: FinetuneJob, earlier: Path | None) -> Path | None:
    """Returns the state to go on from; None for a training that begins, such as a control's beside the last rung."""
    state = earlier / job.name / STATE if earlier is not None else None
    return state if state is not None and state.is_dir() else None


def _identity(job: FinetuneJob, source: CheckpointManifest, data: Dataset) -> dict[str, Any]:
    """Returns what a training must have in common with one that it goes on from."""
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
