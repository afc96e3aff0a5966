"""The release artifact: the ONNX file, its labels, its card, its serving layout, and all digests back to the raw data.

Folder: `model.onnx`, `labels.txt`, `MODEL_CARD.md`, `sample.safetensors` (a few test images with the outputs they must
give), `serving/<name>/` (the layout of Triton and of KServe's ONNX runtime), `manifest.json`. Needs no torch.
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
_PROBABILITY = 1e-3  # another machine's exp and the tolerance of the logits


class Lineage(BaseModel):
    """Digests from the raw data to the file that ships."""

    fingerprint: str
    """Of the raw data."""
    dataset: str
    ledger: str
    """Of the split ledger: which image was in which split."""
    source_checkpoint: str | None
    """What the chosen checkpoint started from; None where nothing was carried over."""
    checkpoint: str
    """The chosen checkpoint's weights."""
    onnx: str
    """model.onnx."""


class GateVerdict(BaseModel):
    """What the gate said of this file."""

    verdict: str
    reasons: list[str]


class ReleaseManifest(Manifest):
    """What a release says of itself."""

    version: str
    """Name and a digest of everything that makes the release; the same inputs give the same version."""
    name: str
    created: str
    """UTC."""
    graftline: str
    facts: ModelMetadata
    strategy: str
    seed: int
    lineage: Lineage
    examples: int
    """Test images."""
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
    """sha256 of this manifest without this line: shows an edit of the manifest itself."""


def write(folder: Path, manifest: ReleaseManifest) -> ReleaseManifest:
    """Writes the manifest of a folder that holds all else, sealed; last, as every manifest."""
    whole = manifests.write(folder, manifest)
    sealed = whole.model_copy(update={"seal": _seal(whole.model_dump_json())})
    manifests.write_text(folder / NAME, sealed.model_dump_json(indent=1))
    return sealed


def read(folder: Path) -> ReleaseManifest:
    """Reads a release's manifest; files are not hashed, see `verify`."""
    return manifests.read(folder, ReleaseManifest)


def write_sample(folder: Path, model: OnnxModel, images: Images, labels: NDArray[Any]) -> int:
    """Stores a few test images, spread over the classes (or values, or sets of labels), with the outputs that the file
    gives for them.

    Args:
        folder: The release.
        model: The file that ships, opened.
        images: (N, C, H, W) test images.
        labels: (N,) their classes, or (N, K) their values or labels.

    Returns:
        How many were stored.
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
    """Checks that a release is whole, unedited, and still gives the outputs that were stored with it.

    Args:
        folder: A release on this machine.

    Yields:
        One line for each check that passed.

    Raises:
        RefusedError: At the first check that failed, with file, found and expected.
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
    """`labels.txt`: one class a line, in the order of the outputs; line breaks inside of a name become spaces."""
    return "".join(" ".join(name.splitlines()) + "\n" for name in classes)


def _seal(text: str) -> str:
    content = json.loads(text)
    content.pop("seal", None)
    return digest_text(canonical_json(content))
