"""Exports the chosen checkpoint to an ONNX file and compares it with PyTorch on the whole test split."""

from pathlib import Path

import graftline
from graftline.config.jobs import ExportJob
from graftline.data import dataset as datasets
from graftline.data.dataset import DatasetManifest
from graftline.evaluation.result import Evaluation, chosen_outputs
from graftline.evaluation.tasks import TASKS
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.release.onnx import export, model_file
from graftline.release.onnx.model_file import ModelMetadata, OnnxManifest
from graftline.release.onnx.parity import compare
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError


def export_onnx(job: ExportJob, *, dataset: Path, chosen: Path, evaluation: Path, out: Path) -> OnnxManifest:
    """Exports a checkpoint to ONNX, compares it with PyTorch, measures its latency, and writes the ONNX artifact.

    Args:
        job: The export job, with the batch sizes and the tolerance of the comparison.
        dataset: The target's dataset artifact.
        chosen: The chosen checkpoint.
        evaluation: The evaluation artifact of the checkpoint, with the temperature and the scored logits.
        out: Folder for the ONNX artifact.

    Returns:
        The manifest of the ONNX artifact.

    Raises:
        RefusedError: The artifacts belong to different runs.
        ParityError: The outputs of the file differ from those of the tested model; no manifest is written.
    """
    network, model_manifest = load_checkpoint(chosen)
    data = datasets.read(dataset)
    evaluated = manifest.read(evaluation, Evaluation, verify=True)
    _one_run(data.manifest, model_manifest, evaluated, evaluation)
    facts = ModelMetadata(
        task=model_manifest.task,
        classes=model_manifest.classes,
        deviation=data.manifest.target_std,
        input=model_manifest.input,
        backbone=model_manifest.backbone,
        temperature=evaluated.temperature,
        chosen=model_manifest.digest,
        dataset_digest=data.manifest.digest,
        licence=model_manifest.licence,
        graftline=graftline.__version__,
    )
    model = export.served(network, facts)
    out.mkdir(parents=True, exist_ok=True)
    (out / manifest.NAME).unlink(missing_ok=True)
    file = out / model_file.FILE
    events.progress(0, 1, "exporting")
    proto = export.export(model, facts, file)
    reference = export.logits_of(
        model, data.test.images, lambda done, total: events.progress(done, total, "PyTorch on the test split")
    )
    parity = compare(
        model_file.load(file),
        data.test.images,
        reference,
        chosen_outputs(evaluation)[1],
        batch_sizes=job.batch_sizes,
        relative=job.rtol,
        progress=lambda done, total: events.progress(done, total, "onnxruntime against PyTorch"),
    )
    events.progress(1, 1, "timing")
    result = OnnxManifest(
        facts=facts,
        digest=manifest.digest_file(file),
        size_bytes=file.stat().st_size,
        opset=export.OPSET,
        producer=f"{proto.producer_name} {proto.producer_version}",
        outputs=list(TASKS[facts.task].onnx_outputs),
        parity=parity,
        latency=export.latency(model, file, data.test.images),
    )
    written = manifest.write(out, result)
    events.log(written.summary())
    return written


def _one_run(data: DatasetManifest, model: CheckpointManifest, evaluated: Evaluation, place: Path) -> None:
    if evaluated.dataset_digest != data.digest:
        raise RefusedError(
            f"{place}: evaluated on dataset {evaluated.dataset_digest}, given is {data.digest}; "
            "evaluate on the dataset that you export with"
        )
    if model.row.status != "ok":
        raise RefusedError(
            f"{place}: no weights that were tested: the training of {model.name} ended as "
            f"{model.row.status!r}; choose another candidate"
        )
    if not model.task == evaluated.task == data.task:
        raise RefusedError(
            f"{place}: the tasks of checkpoint ({model.task}), evaluation ({evaluated.task}) and "
            f"dataset ({data.task}) differ; give the three of one run"
        )
    if not model.classes == evaluated.classes == data.classes:
        raise RefusedError(
            f"{place}: the classes of checkpoint ({', '.join(model.classes[:5])} ...), evaluation "
            f"({', '.join(evaluated.classes[:5])} ...) and dataset ({', '.join(data.classes[:5])} ...) "
            "differ; give the three of one run"
        )
