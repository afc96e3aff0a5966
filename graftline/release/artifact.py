"""Writes, reads, and verifies the release artifact.

The release folder contains `model.onnx`, `labels.txt`, `MODEL_CARD.md`, `sample.safetensors` (a few test images with
their expected outputs), `serving/<name>/` (the model repository layout of Triton and of KServe's ONNX runtime), and
`manifest.json`, which records the digests of every artifact from the raw data to the ONNX file. This module does not
require torch.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from graftline.data.images.stored_images import Images
from graftline.evaluation.result import Calibration, Estimate, Gain
from graftline.evaluation.tasks import TASKS
from graftline.release.onnx.model_file import FILE, Int8, ModelMetadata, OnnxModel, Parity, load
from graftline.runtime import manifest as manifests
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import NAME, Manifest, canonical_json, digest_text

LABELS, CARD, SAMPLE, SERVING = "labels.txt", "MODEL_CARD.md", "sample.safetensors", "serving"
_SAMPLES = 8
_PROBABILITY = 1e-3  # allows for the logit tolerance and for differences of exp between machines


class Lineage(BaseModel):
    """Digests of the artifacts from the raw data to the released ONNX file."""

    fingerprint: str
    """Fingerprint of the raw data."""
    dataset: str
    ledger: str
    """Digest of the split ledger, which records the split of each image."""
    source_checkpoint: str | None
    """Digest of the source checkpoint; None if no source weights were transferred."""
    checkpoint: str
    """Digest of the chosen checkpoint's weights."""
    onnx: str
    """Digest of model.onnx."""


class GateVerdict(BaseModel):
    """Verdict of the release gate for the ONNX file."""

    verdict: str
    reasons: list[str]


class ReleaseManifest(Manifest):
    """Manifest of a release."""

    version: str
    """Name and a digest of all inputs of the release; identical inputs give the same version."""
    name: str
    created: str
    """Creation time in UTC."""
    graftline: str
    facts: ModelMetadata
    strategy: str
    seed: int
    lineage: Lineage
    examples: int
    """Number of test images."""
    test: dict[str, Estimate]
    control_test: dict[str, Estimate]
    baselines: dict[str, Estimate]
    best: str
    gain: Gain
    calibration: Calibration | None
    """None for regression."""
    parity: Parity
    int8: Int8
    gate: GateVerdict
    licence: str
    seal: str = ""
    """sha256 of this manifest without this field, which detects edits of the manifest."""


def write(folder: Path, manifest: ReleaseManifest) -> ReleaseManifest:
    """Writes the sealed manifest of a release folder.

    Call it last: the manifest lists the digests of all other files in the folder.
    """
    whole = manifests.write(folder, manifest)
    sealed = whole.model_copy(update={"seal": _seal(whole.model_dump_json())})
    manifests.write_text(folder / NAME, sealed.model_dump_json(indent=1))
    return sealed


def read(folder: Path) -> ReleaseManifest:
    """Returns the manifest of a release without hashing its files; `verify` hashes them."""
    return manifests.read(folder, ReleaseManifest)


def write_sample(folder: Path, model: OnnxModel, images: Images, labels: NDArray[Any]) -> int:
    """Stores a few test images with the model's outputs.

    The images are spread over the classes, values, or label sets.

    Args:
        folder: The release folder.
        model: The loaded ONNX model of the release.
        images: (N, C, H, W) test images.
        labels: (N,) class indices, or (N, K) values or labels.

    Returns:
        The number of images stored.
    """
    firsts = np.unique(labels, return_index=True, axis=0)[1]
    rest = np.setdiff1d(np.arange(len(labels)), firsts)
    spread = firsts[np.linspace(0, len(firsts) - 1, min(_SAMPLES, len(firsts))).astype(int)]
    index = np.sort(np.concatenate([spread, rest[: _SAMPLES - len(spread)]]))
    batch = np.ascontiguousarray(images[index])
    outputs = dict(zip(TASKS[model.facts.task].onnx_outputs, model.run(batch), strict=False))
    save_file({"images": batch, "labels": np.ascontiguousarray(labels[index]), **outputs}, folder / SAMPLE)
    return len(index)


def verify(folder: Path) -> Iterator[str]:
    """Checks that a release is complete, unmodified, and reproduces its stored outputs.

    Args:
        folder: A local release folder.

    Yields:
        One line for each check that passed.

    Raises:
        RefusedError: A check failed; the message gives the file, the value found, and the value expected.
    """
    manifest = read(folder)
    yield f"manifest: release {manifest.version}, written by graftline {manifest.graftline}"
    if _seal((folder / NAME).read_text(encoding="utf-8")) != manifest.seal:
        raise RefusedError(
            f"{folder / NAME}: was edited after it was written, its seal does not fit; get the release again"
        )
    yield "seal: the manifest is as it was written"
    manifests.read(folder, ReleaseManifest, verify=True)
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()} - {NAME}
    if extra := sorted(there - manifest.files.keys()):
        raise RefusedError(f"{folder}: holds {extra[0]!r}, which is not part of the release; remove it")
    if gone := {FILE, LABELS, CARD, SAMPLE} - manifest.files.keys():
        raise RefusedError(f"{folder / NAME}: does not list {sorted(gone)[0]!r}; get the release again")
    yield f"files: all {len(manifest.files)} are there with the bytes that were written"
    model = load(folder)
    _lineage(folder, manifest, model)
    yield f"model.onnx: one valid file, made from checkpoint {manifest.lineage.checkpoint}"
    shown, worst = _outputs(folder, manifest, model)
    what = TASKS[model.facts.task].onnx_outputs[0].removesuffix("s")
    yield (
        f"outputs: {shown} stored images give the stored outputs (largest {what} difference {worst:.1e}, "
        f"allowed {manifest.parity.tolerance:.1e})"
    )


def _lineage(folder: Path, manifest: ReleaseManifest, model: OnnxModel) -> None:
    chain = manifest.lineage
    pairs = {
        "classes and input": (model.facts, manifest.facts),
        "model.onnx": (manifest.files[FILE], chain.onnx),
        "checkpoint": (model.facts.chosen, chain.checkpoint),
        "dataset": (model.facts.dataset_digest, chain.dataset),
        LABELS: ((folder / LABELS).read_text(encoding="utf-8"), label_text(manifest.facts.classes)),
    }
    for what, (found, expected) in pairs.items():
        if found != expected:
            raise RefusedError(
                f"{folder}: {what} is {str(found)[:200]!r}, the manifest says {str(expected)[:200]!r}; "
                "get the release again"
            )


def _outputs(folder: Path, manifest: ReleaseManifest, model: OnnxModel) -> tuple[int, float]:
    try:
        sample = load_file(folder / SAMPLE)
        first, last = TASKS[model.facts.task].onnx_outputs[0], TASKS[model.facts.task].onnx_outputs[-1]
        images, stored, shares = sample["images"], sample[first], sample[last]
    except (SafetensorError, KeyError) as error:
        raise RefusedError(f"{folder / SAMPLE}: not readable ({error}); get the release again") from None
    if images.dtype != np.uint8 or images.shape[1:] != model.facts.input.stored or not len(images):
        raise RefusedError(
            f"{folder / SAMPLE}: images are {images.dtype} {images.shape}, expected uint8 "
            f"{('N', *model.facts.input.stored)}; get the release again"
        )
    outputs, answers = model.run(images)
    worst = float(np.abs((outputs - stored) / model.facts.scale).max()) if outputs.shape == stored.shape else np.inf
    off = float(np.abs(answers - shares).max()) if answers.shape == shares.shape else np.inf
    allowed = manifest.parity.tolerance
    if not (worst <= allowed and (off <= _PROBABILITY or first == last)):
        more = "" if first == last else f", {last} by {off:.3g} (allowed {_PROBABILITY:g})"
        raise RefusedError(
            f"{folder / FILE}: gives other outputs than were stored: {first} differ by {worst:.3g} "
            f"(allowed {allowed:.3g}){more}; do not use it on this machine"
        )
    return len(images), worst


def label_text(classes: list[str]) -> str:
    """Returns the text of `labels.txt`: one class per line, in the order of the outputs.

    Line breaks within a name are replaced with spaces.
    """
    return "".join(" ".join(name.splitlines()) + "\n" for name in classes)


def _seal(text: str) -> str:
    content = json.loads(text)
    content.pop("seal", None)
    return digest_text(canonical_json(content))
