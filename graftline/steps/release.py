"""Creates a release from a promoted ONNX file and copies it to the store, if any."""

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import graftline
from graftline.config.jobs import ReleaseJob
from graftline.data import dataset as datasets
from graftline.data.dataset import DatasetManifest
from graftline.evaluation.result import Evaluation
from graftline.evaluation.verdict.gate import GateResult
from graftline.models.checkpoint import CheckpointManifest
from graftline.release import artifact as releases
from graftline.release.artifact import CARD, LABELS, SAMPLE, SERVING, GateVerdict, Lineage, ReleaseManifest
from graftline.release.onnx import model_file
from graftline.release.onnx.model_file import OnnxManifest
from graftline.release.serving import triton
from graftline.report.model_card import model_card
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage import access


def release(
    job: ReleaseJob, *, dataset: Path, onnx: Path, evaluation: Path, gate: Path, chosen: Path, out: Path
) -> ReleaseManifest:
    """Writes a release, verifies it, and copies it to the store.

    Args:
        job: The release job, with the store, if any.
        dataset: The target's dataset artifact.
        onnx: The ONNX artifact.
        evaluation: The evaluation artifact of the model.
        gate: The gate artifact of the ONNX file.
        chosen: The chosen checkpoint; only its manifest is read.
        out: The release folder.

    Returns:
        The manifest of the release.

    Raises:
        RefusedError: The gate did not promote the model, or the artifacts belong to different runs.
    """
    exported = manifest.read(onnx, OnnxManifest, verify=True)
    evaluated = manifest.read(evaluation, Evaluation, verify=True)
    verdict = manifest.read(gate, GateResult)
    checkpoint = manifest.read(chosen, CheckpointManifest)
    data = datasets.read(dataset)
    if verdict.verdict != "promote":
        raise RefusedError(
            f"{gate}: the gate says {verdict.verdict!r} ({'; '.join(verdict.reasons)}); "
            "only a promoted model is released"
        )
    _one_run(exported, evaluated, verdict, checkpoint, data.manifest)
    _clear(out)
    shutil.copyfile(onnx / model_file.FILE, out / model_file.FILE)
    (out / LABELS).write_text(releases.label_text(exported.facts.classes), encoding="utf-8", newline="\n")
    samples = releases.write_sample(out, model_file.load(out), data.test.images, np.asarray(data.test.labels))
    whole = _manifest(exported, evaluated, verdict, checkpoint, data.manifest, manifest.digest_file(out / SAMPLE))
    card = model_card(whole, data.manifest, delta=job.delta, converged=evaluated.control.converged, samples=samples)
    (out / CARD).write_text(card, encoding="utf-8", newline="\n")
    triton.write(out / SERVING, name=whole.name, facts=exported.facts, onnx=out / model_file.FILE, labels=out / LABELS)
    written = releases.write(out, whole)
    for check in releases.verify(out):
        events.log(check)
    if job.store:
        _store(out, job.store, written.version)
    return written


def _manifest(
    exported: OnnxManifest,
    evaluated: Evaluation,
    verdict: GateResult,
    checkpoint: CheckpointManifest,
    data: DatasetManifest,
    sample: str,
) -> ReleaseManifest:
    label = re.sub(r"(\.(zip|tar|tgz|gz|bz2|xz|csv|jsonl|parquet))+$", "", data.label.lower())
    name = re.sub(r"[^a-z0-9]+", "-", label).strip("-")[:40].rstrip("-") or "model"
    lineage = Lineage(
        fingerprint=data.fingerprint,
        dataset=data.digest,
        ledger=data.ledger,
        source_checkpoint=checkpoint.parent,
        checkpoint=checkpoint.digest,
        onnx=exported.digest,
    )
    mark = digest_text(canonical_json([lineage.model_dump(), evaluated.files, verdict.reasons, sample]))
    return ReleaseManifest(
        version=f"{name}-{mark.removeprefix('sha256:')[:12]}",
        name=name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        graftline=graftline.__version__,
        facts=exported.facts,
        strategy=checkpoint.strategy,
        seed=checkpoint.seed,
        lineage=lineage,
        examples=evaluated.examples,
        test=evaluated.test,
        control_test=evaluated.control_test,
        baselines=evaluated.baselines,
        best=evaluated.best,
        gain=evaluated.gain,
        calibration=evaluated.calibration,
        parity=exported.parity,
        int8=exported.int8,
        gate=GateVerdict(verdict=verdict.verdict, reasons=verdict.reasons),
        licence=checkpoint.licence,
    )


def _clear(out: Path) -> None:
    """Creates the folder and removes the output of an earlier attempt."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (manifest.NAME, model_file.FILE, LABELS, CARD, SAMPLE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / SERVING, ignore_errors=True)


def _one_run(
    exported: OnnxManifest,
    evaluated: Evaluation,
    verdict: GateResult,
    checkpoint: CheckpointManifest,
    data: DatasetManifest,
) -> None:
    facts = {
        "checkpoint": (exported.facts.chosen, checkpoint.digest),
        "task": (exported.facts.task, evaluated.task),
        "dataset of the ONNX file": (exported.facts.dataset_digest, data.digest),
        "dataset of the evaluation": (evaluated.dataset_digest, data.digest),
        "ONNX file that the gate judged": (verdict.onnx_digest, exported.digest),
        "temperature": (exported.facts.temperature, evaluated.temperature),
    }
    for what, (found, expected) in facts.items():
        if found != expected:
            raise RefusedError(f"release: {what} is {found}, expected {expected}; give the artifacts of one run")


def _store(release: Path, store: str, version: str) -> None:
    """Copies a release to `<store>/releases/<version>/`, the manifest last, so that a listed release is complete."""
    place = f"{store.rstrip('/')}/releases/{version}"
    if access.exists(f"{place}/{manifest.NAME}"):
        events.log(f"release: {place} is there already")
        return
    files = sorted(manifest.read(release, ReleaseManifest).files)
    for done, name in enumerate([*files, manifest.NAME]):
        events.progress(done, len(files) + 1, f"to {place}")
        access.put(release / name, f"{place}/{name}")
    events.log(f"release: {place}")
