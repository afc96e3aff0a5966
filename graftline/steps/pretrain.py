"""Loads the initial weights of a source, trains them on its data, if any, and writes a checkpoint."""

from dataclasses import replace
from pathlib import Path

from graftline.config.jobs import PretrainJob
from graftline.data import dataset as datasets
from graftline.data.dataset import Dataset
from graftline.models import checkpoint, devices
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.models.source import InitialWeights, load_initial_weights
from graftline.runtime import events
from graftline.runtime.errors import DivergedError
from graftline.training import recipe
from graftline.training.batches.samples import Samples
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import trained_parameters
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import parameter_group
from graftline.training.processes import distributed
from graftline.training.processes.launch import run_step
from graftline.training.profile import TrainingProfile
from graftline.training.progress import Progress
from graftline.training.resume.resume import open_journal
from graftline.training.validation import outputs, score


def pretrain(job: PretrainJob, *, dataset: Path, out: Path) -> CheckpointManifest:
    """Creates a source checkpoint.

    The `strategy` of the checkpoint is `pretrain`, `given` (unchanged weights), or `random`.

    Args:
        job: The pretraining job, with the origin of the weights and the training settings.
        dataset: The source's dataset artifact; empty if the source has no data.
        out: Folder for the checkpoint.

    Returns:
        The checkpoint's manifest; its row contains the training cost.

    Raises:
        RefusedError: The weights do not exist or do not match the network.
        DivergedError: The loss diverged; the message gives the epoch and the batch.
    """
    asked = job.training.processes if len(datasets.read(dataset).train) else 1
    return run_step("pretrain", _pretrain, job, asked, out=out, dataset=dataset)


def _pretrain(job: PretrainJob, *, dataset: Path, out: Path) -> CheckpointManifest:
    data = datasets.read(dataset)
    with distributed.shared_download_folder() as downloads:
        start = load_initial_weights(job, data.manifest, cache=downloads)
    start = replace(start, notes=[*start.notes, *_seen(job, data)])
    if not len(data.train):
        strategy = "random" if job.init == "random" else "given"
        row = CandidateResult(source=job.label, strategy=strategy, notes=start.notes)
        return checkpoint.write(out, _manifest(job, start, row, strategy, None, []), start.network)
    row, history = _train(job, start, data)
    manifest = _manifest(job, start, row, "pretrain", data.manifest.digest, history)
    return checkpoint.write(out, manifest, start.network)


def _seen(job: PretrainJob, data: Dataset) -> list[str]:
    """Returns notes on target test images that the source's training data contain or may contain."""
    notes = []
    if job.init != "random":
        notes.append("what its first weights were trained on is not known here: images of the target may be among it")
    if data.manifest.leaked:
        notes.append(f"{data.manifest.leaked} of its images stand in the target's test split and were left out")
    return notes


def _train(job: PretrainJob, start: InitialWeights, data: Dataset) -> tuple[CandidateResult, list[EpochRecord]]:
    train, val = Samples([data.train]), Samples([data.val])
    facts = recipe.recipe_input(data, start.spec.backbone, start.spec.input, carried=job.init != "random")
    training, why = recipe.resolve(job.training, TrainingProfile(), facts)
    epochs = training.epochs or 1
    rates = recipe.rates(training)
    new_head = any(key.startswith("head.") for key in start.reinitialised)
    groups = [
        parameter_group([start.network.head], rates.new if new_head else rates.carried),
        parameter_group([start.network.backbone], rates.new if job.init == "random" else rates.carried),
    ]
    devices.settle_threads(start.network, start.spec.input)
    loop = TrainingLoop(
        start.network,
        groups,
        training,
        start.spec.input,
        TrainingStage(job.seed, devices.pick(), Progress(epochs * len(train))),
    )
    told = {"job": job.model_dump(mode="json", exclude={"checkpoint_uri", "inputs"}), "data": data.manifest.identity}
    with open_journal(told, job.checkpoint_uri) as kept, devices.seeded(job.seed, "pretrain"):
        history = fit(loop, train, val, epochs, journal=kept)
    if loop.diverged:
        raise DivergedError(loop.diverged)
    start.network.eval()
    row = CandidateResult(
        source=job.label,
        strategy="pretrain",
        train_seconds=loop.seconds,
        examples_seen=loop.examples_seen,
        trained_parameters=trained_parameters(start.network),
        learning_rate=groups[0].lr,
        notes=start.notes,
        recipe=why,
    )
    if len(val):
        found = score(
            outputs(start.network, val, start.spec.input, loop.device),
            val.labels,
            training.loss,
            start.network.objective,
        )
        row = row.model_copy(
            update={
                "val_accuracy": found.accuracy,
                "val_score": found.main,
                "val_score_se": found.se,
                "val_method": "validation split",
            }
        )
        events.log(f"{job.label}: validation score {found.main:.3f} after {epochs} epochs")
    loop.progress.finish()
    return row, history


def _manifest(
    job: PretrainJob,
    start: InitialWeights,
    row: CandidateResult,
    strategy: str,
    digest: str | None,
    history: list[EpochRecord],
) -> CheckpointManifest:
    return CheckpointManifest(
        name=job.label,
        **start.spec.fields(),
        strategy=strategy,
        seed=job.seed,
        dataset_digest=digest,
        config=job.to_json(),
        parent=start.parent,
        licence=start.licence,
        reinitialised=start.reinitialised,
        dropped=start.dropped,
        row=row,
        history=history,
    )
