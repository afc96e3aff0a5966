"""The dataset artifact: images as raw uint8 that reading costs a copy, labels, split ledger, manifest.

Folder: `images.npy` (N, C, H, W) uint8, `labels.npy` (N,) int64, both ordered train, val, test;
`samples.jsonl` one line a sample in the same order; `ledger.json`; `manifest.json`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from graftline.manifest import Manifest

SplitName = Literal["train", "val", "test"]


class Dropped(Manifest):
    """A file that did not become a sample."""

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
