"""The artifact between decoding and merging: one shard's pixels, and a record of each sample.

Folder: `pixels`, raw or JPEG images at the offsets that the records give; `records.jsonl`; `manifest.json`.
"""

import json
import os
import sys
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import Dropped, SplitName
from graftline.data.images.stored_images import ImageLayout, encode_jpeg
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, json_line

PIXELS, RECORDS = "pixels", "records.jsonl"


class ShardManifest(Manifest):
    """Manifest of a decoded shard."""

    job: str
    """Digest of the PreprocessJob."""
    shard: int
    shards: int
    format: str
    classes: list[str]
    """Classes of the complete data, not only of this shard."""
    shape: tuple[int, int, int]
    """(C, H, W) of the pixels; C is 1 if all images of this shard are grayscale."""
    layout: ImageLayout
    dropped: list[Dropped]
    notes: list[str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One decoded sample."""

    key: str
    label: str
    split: SplitName | None
    """Predefined split, if any."""
    group: str | None
    sha256: str
    """Digest of the sample."""
    phash: str
    """Perceptual hash, hexadecimal, or empty."""
    side: int
    """Shorter side of the raw image in pixels."""
    sums: Sequence[int]
    """Sum of the values of each channel, followed by the sum of their squares."""
    start: int
    """Offset of the first byte in `pixels`."""
    size: int
    """Size in bytes."""


class PixelWriter:
    """Appends images to a file; thread-safe."""

    def __init__(self, path: Path, layout: ImageLayout) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._layout = layout
        self._end = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "PixelWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Writes one image (C, H, W) and returns its offset and size in bytes."""
        packed = np.ascontiguousarray(image).data.cast("B") if self._layout == "raw" else encode_jpeg(image)
        with self._lock:
            start, self._end = self._end, self._end + len(packed)
        os.pwrite(self._file.fileno(), packed, start)
        return start, len(packed)


def write_records(folder: Path, records: Iterable[SampleRecord]) -> None:
    """Writes one line per record."""
    with (folder / RECORDS).open("w", encoding="ascii") as file:
        file.writelines(json_line(record) for record in records)


def read_records(folder: Path) -> list[SampleRecord]:
    """Reads the records of a shard.

    Raises:
        RefusedError: The file is missing or damaged.
    """
    path = folder / RECORDS
    try:
        with path.open(encoding="ascii") as file:
            return [
                SampleRecord(**{**line, "label": sys.intern(line["label"]), "sums": array("q", line["sums"])})
                for line in map(json.loads, file)
            ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"{path}: not records of decoded samples: {error}; decode this shard again") from None
