"""The dataset artifact: images as raw uint8 that reading costs a copy, labels, split ledger, manifest.

Folder: `images.npy` (N, C, H, W) uint8, `labels.npy` (N,) int64, both ordered train, val, test;
`samples.jsonl` one line a sample in the same order; `ledger.json`; `manifest.json`. Within a split samples stand in the
order of their digests, so that equal data make an equal artifact, whatever the files are called.

A sample's digest is the sha256 of `C,H,W` and a newline in ASCII, then the stored pixels. The dataset's digest is the
sha256 of all stored samples' lines `["<sample digest>","<class>"]` and a newline, sorted: no split, name, place, order.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graftline import manifest as manifests
from graftline.errors import RefusedError
from graftline.manifest import Manifest, canonical_json, digest_text

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)
IMAGES, LABELS, SAMPLES, LEDGER = "images.npy", "labels.npy", "samples.jsonl", "ledger.json"
_PIECE = 16 * 2**20  # bytes copied at a time
Take = Callable[[NDArray[np.int64]], NDArray[np.uint8]]


class Dropped(BaseModel):
    """A file that did not become a sample."""

    model_config = ConfigDict(frozen=True)

    file: str
    why: str


class DatasetManifest(Manifest):
    """What a dataset artifact says of itself."""

    label: str
    task: str = "classification"
    format: str
    classes: list[str]
    sizes: dict[SplitName, int]
    image_shape: tuple[int, int, int]
    """(C, H, W), as stored."""
    target_channels: int | None = None
    """A source's: channels of the target's images. A small network trained on the source takes that many."""
    mean: list[float]
    """Per channel, over the training split, in 0..1."""
    std: list[float]
    dropped: list[Dropped]
    leaked: int = 0
    """Source images found in the target's test split and left out."""
    notes: list[str] = []
    """What a reader should know: which splits were given, which were drawn, what was resized."""
    seed: int
    ledger: str
    """sha256 of the split ledger."""
    fingerprint: str
    digest: str
    """sha256 over decoded samples and labels, independent of order, name, time and place."""

    @property
    def empty(self) -> bool:
        """True for a source that brings no data of its own."""
        return sum(self.sizes.values()) == 0

    @property
    def identity(self) -> str:
        """sha256 over content, order of classes and splits: all that a later step can see. The digest has no splits."""
        return digest_text(canonical_json([self.digest, self.ledger, self.classes, self.sizes]))


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped."""

    images: NDArray[np.uint8]
    """(N, C, H, W), 0..255."""
    labels: NDArray[np.int64]
    """(N,), indices into the manifest's classes."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset artifact, opened."""

    manifest: DatasetManifest
    train: Split
    val: Split
    test: Split


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One line of `samples.jsonl`."""

    key: str
    """Where it came from, for people."""
    label: str
    """Its class."""
    split: SplitName
    sha256: str
    """The sample's digest, hexadecimal."""


def sample_digest(image: NDArray[np.uint8]) -> str:
    """Hexadecimal digest of one stored image (C, H, W)."""
    found = hashlib.sha256(",".join(map(str, image.shape)).encode() + b"\n")
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def content_digest(samples: Iterable[StoredSample]) -> str:
    """`sha256:...` of decoded samples and labels, independent of order, split, name, time and place."""
    found = hashlib.sha256()
    pairs = list(samples)
    quoted = {label: canonical_json(label) for label in {sample.label for sample in pairs}}
    lines = sorted(f'["{sample.sha256}",{quoted[sample.label]}]\n' for sample in pairs)
    found.update("".join(lines).encode())
    return "sha256:" + found.hexdigest()


def write(folder: Path, manifest: DatasetManifest, take: Take, order: Sequence[int],
          samples: Sequence[StoredSample], ledger: str) -> DatasetManifest:
    """Writes images, labels, sample lines, ledger and, last, the manifest.

    Args:
        folder: Exists.
        manifest: Its `files` still empty; its `classes` index the labels.
        take: Gives images (n, C, H, W) by their rows, such as `array.__getitem__`.
        order: Rows to store, in the order of `samples`.
        samples: N lines, train before val before test.
        ledger: The split ledger's text.

    Returns:
        The manifest as written.
    """
    index = {name: position for position, name in enumerate(manifest.classes)}
    rows = np.asarray(order, np.int64)
    step = max(1, _PIECE // int(np.prod(manifest.image_shape)))
    with (folder / IMAGES).open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *manifest.image_shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), step):
            file.write(np.ascontiguousarray(take(rows[start:start + step])).data)
    np.save(folder / LABELS, np.array([index[sample.label] for sample in samples], np.int64))
    with (folder / SAMPLES).open("w", encoding="ascii") as file:
        file.writelines(canonical_json({"key": sample.key, "label": sample.label, "split": sample.split,
                                        "sha256": sample.sha256}) + "\n" for sample in samples)
    manifests.write_text(folder / LEDGER, ledger)
    return manifests.write(folder, manifest)


def read(folder: Path) -> Dataset:
    """Opens a dataset artifact; images stay on disk until they are touched.

    Args:
        folder: The artifact.

    Raises:
        RefusedError: Not whole, or arrays that do not fit the manifest.
    """
    manifest = manifests.read(folder, DatasetManifest)
    images, labels = _array(folder / IMAGES, "r"), _array(folder / LABELS, None)
    count = sum(manifest.sizes.values())
    expected = (count, *manifest.image_shape)
    if images.shape != expected or images.dtype != np.uint8:
        raise RefusedError(f"{folder / IMAGES}: {images.dtype} {images.shape}, the manifest says uint8 {expected}; "
                           "preprocess again")
    if labels.shape != (count,) or labels.dtype != np.int64 or not _within(labels, len(manifest.classes)):
        raise RefusedError(f"{folder / LABELS}: {labels.dtype} {labels.shape}, the manifest says int64 ({count},) "
                           f"below {len(manifest.classes)}; preprocess again")
    splits, start = {}, 0
    for name in SPLIT_NAMES:
        end = start + manifest.sizes.get(name, 0)
        splits[name] = Split(images[start:end], labels[start:end])
        start = end
    return Dataset(manifest, splits["train"], splits["val"], splits["test"])


def read_samples(folder: Path) -> list[StoredSample]:
    """Reads the sample lines, in the order of the images.

    Raises:
        RefusedError: Missing or damaged.
    """
    path = folder / SAMPLES
    try:
        with path.open(encoding="ascii") as file:
            return [StoredSample(**json.loads(line)) for line in file]
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"{path}: not sample lines: {error}; preprocess again") from None


def _array(path: Path, mode: Literal["r"] | None) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RefusedError(f"{path}: not an array: {error}; preprocess again") from None
    return array


def _within(labels: NDArray[Any], classes: int) -> bool:
    return not len(labels) or bool(labels.min() >= 0 and labels.max() < classes)
