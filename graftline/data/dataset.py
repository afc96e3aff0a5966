"""The dataset artifact: images that reading costs a copy, labels, split ledger, data page, manifest.

Folder: `images.npy` (N, C, H, W) uint8, or `images-*.jpeg` and `index.npy` where raw pixels would take too much room
(the manifest's `layout` says which); `labels.npy` (N,) int64, -1 without labels, for regression (N, D) float32 in the
labels' own units, for multilabel (N, K) float32 of 0 and 1; both ordered train, val, test; `samples.jsonl` one line a
sample in the same order; `ledger.json`; `page.html`, what a person should see of the data; `manifest.json`. Within a
split samples stand in the order of their digests, so that equal data make an equal artifact, whatever the files are
called.

A sample's digest is the sha256 of `C,H,W` and a newline in ASCII, then the pixels at the stored size, before any JPEG,
one channel where all are equal (the same in a grey and in a coloured set). The dataset's digest is the sha256 of all
stored samples' lines `["<sample digest>",<label>]` and a newline, sorted: no split, name, place, order. The label is
the class as a JSON string, or the JSON of numbers or names that `graftline.data.labels.text` writes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from graftline.config import DEFAULT_TASK
from graftline.data.images import stored_images
from graftline.data.images.stored_images import ImageLayout, Images, is_grey
from graftline.data.labels import LABEL_TYPES, known_task
from graftline.runtime import manifest as manifests
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, canonical_json, digest_text, json_line

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)
LABELS, SAMPLES, LEDGER, PAGE = "labels.npy", "samples.jsonl", "ledger.json", "page.html"


def _speakable(text: str) -> str:
    """A file's name may hold bytes that are no UTF-8, which JSON cannot say; they are shown as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


class Dropped(BaseModel):
    """A file that did not become a sample."""

    model_config = ConfigDict(frozen=True)

    file: Annotated[str, BeforeValidator(_speakable)]
    why: Annotated[str, BeforeValidator(_speakable)]


class DatasetManifest(Manifest):
    """What a dataset artifact says of itself."""

    label: str
    task: Annotated[str, AfterValidator(known_task)] = DEFAULT_TASK
    """A key of `LABEL_TYPES`; `unlabelled` where there are no labels, and no classes."""
    format: str
    classes: list[str]
    """For regression the names of its outputs, for multilabel those of its labels."""
    target_mean: list[float] = []
    """For regression, of each output over the training split, in its own unit."""
    target_std: list[float] = []
    """Likewise its deviation, above 0."""
    sizes: dict[SplitName, int]
    counts: dict[str, dict[SplitName, int]] = {}
    """Images of each class in each split."""
    layout: ImageLayout = "raw"
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
    warnings: list[str] = []
    """What is likely to be wrong with the raw data, and what was done about it."""
    original_sides: list[int] = []
    """Shorter sides of the raw images in pixels: least, quartiles, most."""
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
        return digest_text(canonical_json([self.digest, self.ledger, self.classes, self.sizes, self.layout]))


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped."""

    images: Images
    """(N, C, H, W), 0..255."""
    labels: NDArray[Any]
    """(N,) int64, indices into the manifest's classes; for regression (N, D) float32 in the labels' own units; for
    multilabel (N, K) float32 of 0 and 1."""

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
    """Its class, or the text of its label as `graftline.data.labels.text` writes it."""
    split: SplitName
    sha256: str
    """The sample's digest, hexadecimal."""
    phash: str = ""
    """Its perceptual hash, hexadecimal; empty where near duplicates were not looked for."""
    group: str | None = None
    """What must not be split over training and test."""


Page = Callable[[DatasetManifest, Images, Sequence[StoredSample]], str]


def sample_digest(image: NDArray[np.uint8]) -> str:
    """Hexadecimal digest of one image (C, H, W) at its stored size."""
    image = image[:1] if is_grey(image) else image
    found = hashlib.sha256(",".join(map(str, image.shape)).encode() + b"\n")
    found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def content_digest(samples: Iterable[StoredSample], task: str = DEFAULT_TASK) -> str:
    """`sha256:...` of decoded samples and labels, independent of order, split, name, time and place."""
    found = hashlib.sha256()
    pairs = list(samples)
    is_text = LABEL_TYPES[task].is_class  # other labels are canonical JSON already
    quoted = {label: canonical_json(label) if is_text else label for label in {sample.label for sample in pairs}}
    lines = sorted(f'["{sample.sha256}",{quoted[sample.label]}]\n' for sample in pairs)
    found.update("".join(lines).encode())
    return "sha256:" + found.hexdigest()


def clear(folder: Path) -> None:
    """Makes a folder for an artifact, or rids it of what an earlier try left: the manifest first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (manifests.NAME, LABELS, SAMPLES, LEDGER, PAGE, *stored_images.names(folder)):
        (folder / name).unlink(missing_ok=True)


def write(
    folder: Path,
    manifest: DatasetManifest,
    images: Iterable[bytes | memoryview],
    samples: Sequence[StoredSample],
    ledger: str,
    page: Page,
) -> DatasetManifest:
    """Writes images, labels, sample lines, ledger, data page and, last, the manifest.

    Args:
        folder: Exists.
        manifest: Its `files` still empty; its `classes` index the labels.
        images: N of them in the order of `samples`, as the manifest's layout stores them.
        samples: N lines, train before val before test.
        ledger: The split ledger's text.
        page: Makes the data page.

    Returns:
        The manifest as written.
    """
    stored_images.write(folder, manifest.layout, images, len(samples), manifest.image_shape)
    with ThreadPoolExecutor(1) as aside:  # the images are hashed while the rest is written
        names = stored_images.names(folder)
        digests = aside.map(lambda name: manifests.digest_file(folder / name), names)
        _write_rest(folder, manifest, samples, ledger, page)
        return manifests.write(folder, manifest, known=dict(zip(names, digests, strict=True)))


def _write_rest(
    folder: Path, manifest: DatasetManifest, samples: Sequence[StoredSample], ledger: str, page: Page
) -> None:
    np.save(
        folder / LABELS, LABEL_TYPES[manifest.task].to_array([sample.label for sample in samples], manifest.classes)
    )
    with (folder / SAMPLES).open("w", encoding="ascii") as file:
        file.writelines(json_line(sample) for sample in samples)
    manifests.write_text(folder / LEDGER, ledger)
    stored = stored_images.read(folder, manifest.layout, len(samples), manifest.image_shape, mapped=False)
    manifests.write_text(folder / PAGE, page(manifest, stored, samples))


def read(folder: Path) -> Dataset:
    """Opens a dataset artifact; images stay on disk until they are touched.

    Args:
        folder: The artifact.

    Raises:
        RefusedError: Not whole, or arrays that do not fit the manifest.
    """
    manifest = manifests.read(folder, DatasetManifest)
    count = sum(manifest.sizes.values())
    images = stored_images.read(folder, manifest.layout, count, manifest.image_shape)
    labels = stored_images.load_array(folder / LABELS, mapped=False)
    label_type = LABEL_TYPES[manifest.task]
    stored_images.check(
        folder / LABELS,
        labels,
        "int64" if label_type.is_class else "float32",
        (count,) if label_type.is_class else (count, len(manifest.classes)),
    )
    if why := label_type.find_fault(labels, manifest.classes):
        raise RefusedError(f"{folder / LABELS}: {why}; preprocess again")
    splits, start = {}, 0
    for name in SPLIT_NAMES:
        end = start + manifest.sizes.get(name, 0)
        splits[name] = Split(stored_images.part(images, start, end), labels[start:end])
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
