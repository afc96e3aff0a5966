"""The dataset artifact: images, labels, sample lines, split ledger, data page, and manifest.

Folder: `images.npy` (N, C, H, W) uint8, or `images-*.jpeg` and `index.npy` if raw pixels would be too large (see the
manifest's `layout`); `labels.npy` (N,) int64, -1 without labels, for regression (N, D) float32 in the labels' own
units, for multilabel (N, K) float32 of 0 and 1; both ordered train, val, test; `samples.jsonl`, one line per sample in
the same order; `ledger.json`; `page.html`; `manifest.json`. Samples of a split are sorted by digest, so equal data give
an equal artifact regardless of file names.

A sample's digest is the sha256 of `C,H,W` and a newline in ASCII, followed by the pixels at the stored size before JPEG
encoding, reduced to one channel if all channels are equal (so a grayscale image has the same digest in a color
dataset). The dataset's digest is the sha256 of the sorted lines `["<sample digest>",<label>]` plus newline of all
stored samples; it does not depend on splits, names, locations, or order. The label is the class as a JSON string, or
the JSON of numbers or names that `graftline.data.labels.text` writes.
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
from graftline.data.images.stored_images import ImageLayout, Images, is_grayscale
from graftline.data.labels import LABEL_TYPES, known_task
from graftline.runtime import manifest as manifests
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, canonical_json, digest_text, json_line

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = get_args(SplitName)
LABELS, SAMPLES, LEDGER, PAGE = "labels.npy", "samples.jsonl", "ledger.json", "page.html"


def _escape_invalid(text: str) -> str:
    """Escapes bytes of a file name that are not UTF-8, which JSON cannot represent."""
    return text.encode("utf-8", "backslashreplace").decode()


class Dropped(BaseModel):
    """A file that did not become a sample."""

    model_config = ConfigDict(frozen=True)

    file: Annotated[str, BeforeValidator(_escape_invalid)]
    why: Annotated[str, BeforeValidator(_escape_invalid)]


class DatasetManifest(Manifest):
    """Manifest of a dataset artifact."""

    label: str
    task: Annotated[str, AfterValidator(known_task)] = DEFAULT_TASK
    """A key of `LABEL_TYPES`; `unlabelled` if there are no labels and no classes."""
    format: str
    classes: list[str]
    """Class names; for regression output names, for multilabel label names."""
    target_mean: list[float] = []
    """For regression, mean of each output over the training split, in its own unit."""
    target_std: list[float] = []
    """For regression, standard deviation of each output, greater than 0."""
    sizes: dict[SplitName, int]
    counts: dict[str, dict[SplitName, int]] = {}
    """Number of images of each class in each split."""
    layout: ImageLayout = "raw"
    image_shape: tuple[int, int, int]
    """(C, H, W) as stored."""
    target_channels: int | None = None
    """For a source, number of channels of the target's images, which a small network trained on the source expects."""
    mean: list[float]
    """Mean of each channel over the training split, in 0..1."""
    std: list[float]
    """Standard deviation of each channel over the training split, in 0..1."""
    dropped: list[Dropped]
    leaked: int = 0
    """Number of source images excluded because they also occur in the target's test split."""
    notes: list[str] = []
    """Notes for people: predefined and drawn splits, resizing, duplicates."""
    warnings: list[str] = []
    """Likely problems of the raw data, and how they were handled."""
    original_sides: list[int] = []
    """Shorter side of the raw images in pixels: minimum, quartiles, maximum."""
    seed: int
    ledger: str
    """sha256 of the split ledger."""
    fingerprint: str
    digest: str
    """sha256 of decoded samples and labels, independent of order, names, time, and location."""

    @property
    def is_empty(self) -> bool:
        """Whether the dataset has no samples, as that of a source without data."""
        return sum(self.sizes.values()) == 0

    @property
    def identity(self) -> str:
        """sha256 of content, class order, and splits: everything that later steps depend on, unlike `digest`."""
        return digest_text(canonical_json([self.digest, self.ledger, self.classes, self.sizes, self.layout]))


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped."""

    images: Images
    """(N, C, H, W), 0..255."""
    labels: NDArray[Any]
    """(N,) int64 indices into the manifest's classes; for regression (N, D) float32 in the labels' own units; for
    multilabel (N, K) float32 of 0 and 1."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """An opened dataset artifact."""

    manifest: DatasetManifest
    train: Split
    val: Split
    test: Split


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One line of `samples.jsonl`."""

    key: str
    """Path within the raw data, for people."""
    label: str
    """Class, or the text of the label as `graftline.data.labels.text` writes it."""
    split: SplitName
    sha256: str
    """Digest of the sample, hexadecimal."""
    phash: str = ""
    """Perceptual hash, hexadecimal; empty if near duplicates were not searched for."""
    group: str | None = None
    """Group that must stay in one split."""


Page = Callable[[DatasetManifest, Images, Sequence[StoredSample]], str]


def sample_digest(image: NDArray[np.uint8]) -> str:
    """Returns the hexadecimal digest of one image (C, H, W) at its stored size."""
    image = image[:1] if is_grayscale(image) else image
    digest = hashlib.sha256(",".join(map(str, image.shape)).encode() + b"\n")
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def content_digest(samples: Iterable[StoredSample], task: str = DEFAULT_TASK) -> str:
    """Returns `sha256:...` of samples and labels, independent of order, splits, names, time, and location."""
    samples = list(samples)
    is_text = LABEL_TYPES[task].is_class  # other labels are canonical JSON already
    quoted = {label: canonical_json(label) if is_text else label for label in {sample.label for sample in samples}}
    lines = sorted(f'["{sample.sha256}",{quoted[sample.label]}]\n' for sample in samples)
    return digest_text("".join(lines))


def clear(folder: Path) -> None:
    """Creates a folder for an artifact, or deletes the files of an earlier attempt, starting with the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (manifests.NAME, LABELS, SAMPLES, LEDGER, PAGE, *stored_images.image_files(folder)):
        (folder / name).unlink(missing_ok=True)


def write(
    folder: Path,
    manifest: DatasetManifest,
    images: Iterable[bytes | memoryview],
    samples: Sequence[StoredSample],
    ledger: str,
    page: Page,
) -> DatasetManifest:
    """Writes images, labels, sample lines, ledger, data page, and finally the manifest.

    Args:
        folder: An existing folder.
        manifest: The manifest, with empty `files`.
        images: N images in the order of `samples`, packed as the manifest's layout requires.
        samples: N samples, train before val before test.
        ledger: JSON of the split ledger.
        page: Renders the data page.

    Returns:
        The manifest with its files.
    """
    stored_images.write(folder, manifest.layout, images, len(samples), manifest.image_shape)
    with ThreadPoolExecutor(1) as hasher:  # hashes the images while the rest is written
        names = stored_images.image_files(folder)
        digests = hasher.map(lambda name: manifests.digest_file(folder / name), names)
        _write_rest(folder, manifest, samples, ledger, page)
        return manifests.write(folder, manifest, known=dict(zip(names, digests, strict=True)))


def _write_rest(
    folder: Path, manifest: DatasetManifest, samples: Sequence[StoredSample], ledger: str, page: Page
) -> None:
    labels = LABEL_TYPES[manifest.task].to_array([sample.label for sample in samples], manifest.classes)
    np.save(folder / LABELS, labels)
    with (folder / SAMPLES).open("w", encoding="ascii") as file:
        file.writelines(json_line(sample) for sample in samples)
    manifests.write_text(folder / LEDGER, ledger)
    stored = stored_images.read(folder, manifest.layout, len(samples), manifest.image_shape, mapped=False)
    manifests.write_text(folder / PAGE, page(manifest, stored, samples))


def read(folder: Path) -> Dataset:
    """Opens a dataset artifact; images stay on disk until they are read.

    Args:
        folder: The artifact.

    Raises:
        RefusedError: The artifact is incomplete, or its arrays do not match the manifest.
    """
    manifest = manifests.read(folder, DatasetManifest)
    count = sum(manifest.sizes.values())
    images = stored_images.read(folder, manifest.layout, count, manifest.image_shape)
    labels = stored_images.load_array(folder / LABELS, mapped=False)
    label_type = LABEL_TYPES[manifest.task]
    stored_images.check_array(
        folder / LABELS,
        labels,
        "int64" if label_type.is_class else "float32",
        (count,) if label_type.is_class else (count, len(manifest.classes)),
    )
    if fault := label_type.find_fault(labels, manifest.classes):
        raise RefusedError(f"{folder / LABELS}: {fault}; preprocess again")
    splits, start = {}, 0
    for name in SPLIT_NAMES:
        end = start + manifest.sizes.get(name, 0)
        splits[name] = Split(stored_images.image_range(images, start, end), labels[start:end])
        start = end
    return Dataset(manifest, splits["train"], splits["val"], splits["test"])


def read_samples(folder: Path) -> list[StoredSample]:
    """Reads the sample lines, in the order of the images.

    Raises:
        RefusedError: The file is missing or damaged.
    """
    path = folder / SAMPLES
    try:
        with path.open(encoding="ascii") as file:
            return [StoredSample(**json.loads(line)) for line in file]
    except (OSError, ValueError, TypeError) as error:
        raise RefusedError(f"{path}: not sample lines: {error}; preprocess again") from None
