"""Reads raw data with one format and describes what was read."""

from pathlib import Path
from typing import Any

import pytest

from graftline.config import DEFAULT_TASK, Columns
from graftline.data.formats.location import DataLocation, locate_data
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError


def locate(path: Path, task: str = DEFAULT_TASK, /, **columns: Any) -> DataLocation:
    """Returns the location of a local path, whether it exists or not, with the columns that a config would name."""
    if path.exists() or str(path).startswith("builtin:"):
        return locate_data(str(path), None, Columns(**columns), task=task)
    return DataLocation(str(path), path, None, Columns(**columns), task=task)


def read_dataset(known: Format, path: Path, /, **columns: Any) -> RawDataset:
    """Opens and closes a local dataset. Images remain readable only where they are not unpacked."""
    with known.open(locate(path, **columns)) as raw:
        return raw


def assert_refused(known: Format, path: Path, message: str, /, **columns: Any) -> None:
    """Asserts that opening a local dataset raises RefusedError with a matching message."""
    with pytest.raises(RefusedError, match=message):
        read_dataset(known, path, **columns)


def read_bytes(sample: RawSample) -> bytes:
    """Returns the encoded image of a sample."""
    return sample.load().read()  # type: ignore[union-attr]


def keys_and_labels(raw: RawDataset) -> list[tuple[str, str]]:
    """Returns the key and label of each sample."""
    return [(sample.key, sample.label) for sample in raw.samples]


def dropped_reasons(raw: RawDataset) -> dict[str, str]:
    """Returns the reason by file of everything that was dropped."""
    return {item.file: item.why for item in raw.dropped}
