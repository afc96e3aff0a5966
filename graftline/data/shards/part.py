"""Decoded samples on their way to a dataset: one shard's pixels and what is known of each sample.

Folder: `pixels`, raw or JPEG, wherever a record says; `records.jsonl`; `manifest.json`.
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
from graftline.data.images.stored_images import ImageLayout, encoded
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import Manifest, json_line

PIXELS, RECORDS = "pixels", "records.jsonl"


class PartManifest(Manifest):
    """What a part says of itself."""

    job: str
    """Digest of the PreprocessJob that it belongs to."""
    shard: int
    shards: int
    format: str
    classes: list[str]
    """Of the whole data, not of this shard alone."""
    shape: tuple[int, int, int]
    """(C, H, W) of the pixels; C is 1 where all images of this shard are grey."""
    layout: ImageLayout
    dropped: list[Dropped]
    notes: list[str]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded sample."""

    key: str
    label: str
    split: SplitName | None
    group: str | None
    sha256: str
    """The sample's digest."""
    phash: str
    """Perceptual hash, hexadecimal, or empty."""
    side: int
    """Pixels of the raw image's shorter side."""
    sums: Sequence[int]
    """Per channel the sum of its values, then per channel the sum of their squares."""
    start: int
    """First byte in `pixels`."""
    size: int
    """Bytes."""


class Pixels:
    """A growing file of images; from any thread."""

    def __init__(self, path: Path, layout: ImageLayout) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._layout = layout
        self._end = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "Pixels":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def put(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Stores one image (C, H, W); returns its first byte and its number of bytes."""
        packed = np.ascontiguousarray(image).data.cast("B") if self._layout == "raw" else encoded(image)
        with self._lock:
            start, self._end = self._end, self._end + len(packed)
        os.pwrite(self._file.fileno(), packed, start)
        return start, len(packed)


def write_records(folder: Path, records: Iterable[Record]) -> None:
    """Writes one line a record."""
    with (folder / RECORDS).open("w", encoding="ascii") as file:
        file.writelines(json_line(record) for record in records)


def read_records(folder: Path) -> list[Record]:
    """Reads the records of a part.

    Raises:
        RefusedError: Missing or damaged.
    """
    path = folder / RECORDS
    try:
        with path.open(encoding="ascii") as file:
            return [
                Record(**{**line, "label": sys.intern(line["label"]), "sums": array("q", line["sums"])})
                for line in map(json.loads, file)
            ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"{path}: not records of decoded samples: {error}; decode this shard again") from None
