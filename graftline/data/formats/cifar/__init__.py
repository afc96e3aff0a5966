"""CIFAR-10's and CIFAR-100's own batches, binary or python pickles, in a folder, tar or tar.gz.

CIFAR-100 has two labels an image: 100 fine ones, which are taken, and 20 coarse ones, for `columns.label: coarse`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import SplitName
from graftline.data.formats.archives.files import files_of, glance
from graftline.data.formats.archives.members import Member
from graftline.data.formats.cifar.pickles import PIXELS, Array, unpickled
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError

_MAX_BATCH = 256 * 2**20


@dataclass(frozen=True)
class _Kind:
    """One of the two data sets, by one of its labels."""

    title: str
    batches: re.Pattern[str]
    labels: int
    """Bytes of labels that stand before an image's pixels in a binary batch."""
    label: int
    """Which of them is read."""
    field: str
    """Where a pickle has it."""
    meta: tuple[str, str]
    """The pickle with the classes' names, and its field."""
    names: str
    """The text with the classes' names that comes with binary batches."""
    classes: int


_TEN = _Kind(
    "CIFAR-10",
    re.compile(r"^(data_batch_\d+|test_batch)(\.bin)?$"),
    1,
    0,
    "labels",
    ("batches.meta", "label_names"),
    "batches.meta.txt",
    10,
)
_HUNDRED_FILES = re.compile(r"^(train|test)(\.bin)?$")
_HUNDRED = {
    "coarse": _Kind(
        "CIFAR-100", _HUNDRED_FILES, 2, 0, "coarse_labels", ("meta", "coarse_label_names"), "coarse_label_names.txt", 20
    ),
    "fine": _Kind(
        "CIFAR-100", _HUNDRED_FILES, 2, 1, "fine_labels", ("meta", "fine_label_names"), "fine_label_names.txt", 100
    ),
}
_HUNDRED_SETS = {"train", "test", "meta"}, {"train.bin", "test.bin", "fine_label_names.txt"}


def _found(place: DataLocation) -> bool:
    names = list(glance(place))
    return _has_ten(names) or _has_hundred(names)


def _has_ten(names: Iterable[str]) -> bool:
    return any(_TEN.batches.match(PurePosixPath(name).name) for name in names)


def _has_hundred(names: Sequence[str]) -> bool:
    """Whether one folder holds all of its files; `train` and `test` are usual names of folders, which do not count."""
    paths = [PurePosixPath(name) for name in names if not name.endswith("/")]
    folders = {parent for path in paths for parent in path.parents}
    files = {path for path in paths if path not in folders}
    return any(all(folder / name in files for name in whole) for folder in folders for whole in _HUNDRED_SETS)


def _kind(place: DataLocation, names: Sequence[str]) -> _Kind:
    ten, wanted = _has_ten(names), place.columns.label
    hundred = any(_HUNDRED_FILES.match(PurePosixPath(name).name) for name in names)
    if ten and _has_hundred(names):
        raise RefusedError(f"{place}: holds both CIFAR-10 and CIFAR-100; give the folder of one of them")
    if not ten and not hundred:
        raise RefusedError(
            f"{place}: no CIFAR batches; expected data_batch_1, test_batch and so on, CIFAR-100's train "
            "and test, or any of these with .bin"
        )
    if ten and wanted is not None:
        raise RefusedError(f"{place}: columns.label is {wanted!r}, and CIFAR-10 has one kind of label; leave it out")
    if wanted is not None and wanted not in _HUNDRED:
        raise RefusedError(f"{place}: columns.label is {wanted!r}; CIFAR-100 has {' and '.join(_HUNDRED)}")
    return _TEN if ten else _HUNDRED[wanted or "fine"]


def _batch(where: Path, data: bytes, kind: _Kind, binary: bool) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels (N, 3, 32, 32) and labels."""
    if binary:
        size = kind.labels + PIXELS
        if not data or len(data) % size:
            raise RefusedError(
                f"{where}: {len(data):,} bytes are no whole number of records of {size}; download it again"
            )
        records = np.frombuffer(data, np.uint8).reshape(-1, size)
        return records[:, kind.labels :].reshape(-1, 3, 32, 32), records[:, kind.label].tolist()
    value = unpickled(where, data)
    array, labels = value.get("data"), value.get(kind.field)
    if not isinstance(array, Array) or not isinstance(labels, list):
        raise RefusedError(f"{where}: expected 'data' and {kind.field!r}, found {sorted(value)}")
    if len(labels) != len(array.pixels) or not all(isinstance(label, int) and label >= 0 for label in labels):
        raise RefusedError(f"{where}: {len(array.pixels):,} images, {len(labels):,} labels; expected one index each")
    return array.pixels.reshape(-1, 3, 32, 32), labels


def _names(place: DataLocation, members: Sequence[Member], kind: _Kind) -> list[str]:
    """Class names by index, their numbers where no file gives them."""
    for member in members:
        name = PurePosixPath(member.name).name
        if name == kind.meta[0]:
            names = unpickled(place.path / member.name, _content(place, member)).get(kind.meta[1])
            if isinstance(names, list) and all(isinstance(each, str) for each in names):
                return names
        if name == kind.names:
            return _content(place, member).decode("latin1").split()
    return [str(index) for index in range(kind.classes)]


def _content(place: DataLocation, member: Member) -> bytes:
    if member.size > _MAX_BATCH:
        raise RefusedError(
            f"{place.path / member.name}: {member.size:,} bytes; CIFAR's files have at most about 155 million"
        )
    try:
        with member.open() as file:
            return file.read()
    except OSError as error:
        raise RefusedError(f"{place.path / member.name}: {error}; copy or download it again") from None


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with files_of(place) as files:
        members = sorted(files.members, key=lambda member: member.name)
        kind = _kind(place, [member.name for member in members])
        names = _names(place, members, kind)
        yield RawDataset(names, [sample for member in members for sample in _samples(place, member, kind, names)])


def _samples(place: DataLocation, member: Member, kind: _Kind, names: Sequence[str]) -> Iterator[RawSample]:
    match = kind.batches.match(PurePosixPath(member.name).name)
    if match is None:
        return
    where = place.path / member.name
    pixels, labels = _batch(where, _content(place, member), kind, match[2] is not None)
    split: SplitName = "test" if match[1].startswith("test") else "train"
    for row, label in enumerate(labels):
        if label >= len(names):
            raise RefusedError(
                f"{where}: image {row} has the label {label}, expected 0 to {len(names) - 1}; the file "
                f"is damaged, or no {kind.title}"
            )
        yield RawSample(f"{member.name}#{row}", names[label], split, partial(pixels.__getitem__, row))


FORMAT = Format(
    "cifar", "CIFAR-10's and CIFAR-100's own batches, binary or python, also in their tar.gz", _found, _read
)
