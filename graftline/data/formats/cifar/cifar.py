"""CIFAR-10 and CIFAR-100 in their original batches, binary or Python pickles, in a folder, tar or tar.gz.

CIFAR-100 has two labels per image: 100 fine classes, the default, and 20 coarse ones, selected by
`columns.label: coarse`.
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
from graftline.data.formats.archives.file_trees import iter_first_names, open_files
from graftline.data.formats.archives.members import Member
from graftline.data.formats.cifar.pickles import PIXELS, PixelArray, load_pickle
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError

MAX_BATCH_BYTES = 256 * 2**20
"""Maximum size of one batch file."""


@dataclass(frozen=True)
class _Variant:
    """One of the two datasets with one of its labels."""

    title: str
    batches: re.Pattern[str]
    num_label_bytes: int
    """Number of label bytes before an image's pixels in a binary batch."""
    label_byte: int
    """Index of the label byte to read."""
    label_field: str
    """Key of the labels in a pickle."""
    meta: tuple[str, str]
    """Pickle with the class names, and its key."""
    names_file: str
    """Text file with the class names, part of the binary version."""
    num_classes: int


_CIFAR_10 = _Variant(
    "CIFAR-10",
    re.compile(r"^(data_batch_\d+|test_batch)(\.bin)?$"),
    1,
    0,
    "labels",
    ("batches.meta", "label_names"),
    "batches.meta.txt",
    10,
)
_CIFAR_100_BATCHES = re.compile(r"^(train|test)(\.bin)?$")
_CIFAR_100 = {
    level: _Variant(
        "CIFAR-100",
        _CIFAR_100_BATCHES,
        2,
        label_byte,
        f"{level}_labels",
        ("meta", f"{level}_label_names"),
        f"{level}_label_names.txt",
        num_classes,
    )
    for level, label_byte, num_classes in (("coarse", 0, 20), ("fine", 1, 100))
}
_CIFAR_100_FILES = {"train", "test", "meta"}, {"train.bin", "test.bin", "fine_label_names.txt"}


def _detect(location: DataLocation) -> bool:
    names = list(iter_first_names(location))
    return _has_cifar_10(names) or _has_cifar_100(names)


def _has_cifar_10(names: Iterable[str]) -> bool:
    return any(_CIFAR_10.batches.match(PurePosixPath(name).name) for name in names)


def _has_cifar_100(names: Sequence[str]) -> bool:
    """Returns whether one folder has all files; folders named `train` and `test` are common and do not count."""
    paths = [PurePosixPath(name) for name in names if not name.endswith("/")]
    folders = {parent for path in paths for parent in path.parents}
    files = {path for path in paths if path not in folders}
    return any(all(folder / name in files for name in required) for folder in folders for required in _CIFAR_100_FILES)


def _select_variant(location: DataLocation, names: Sequence[str]) -> _Variant:
    is_cifar_10, label = _has_cifar_10(names), location.columns.label
    is_cifar_100 = any(_CIFAR_100_BATCHES.match(PurePosixPath(name).name) for name in names)
    if is_cifar_10 and _has_cifar_100(names):
        raise RefusedError(f"{location}: contains both CIFAR-10 and CIFAR-100; give the folder of one of them")
    if not is_cifar_10 and not is_cifar_100:
        raise RefusedError(
            f"{location}: no CIFAR batches; expected files such as data_batch_1 and test_batch, CIFAR-100's train and "
            "test, or any of these with .bin"
        )
    if is_cifar_10 and label is not None:
        raise RefusedError(
            f"{location}: columns.label is {label!r}, but CIFAR-10 has only one kind of label; remove it"
        )
    if label is not None and label not in _CIFAR_100:
        raise RefusedError(f"{location}: columns.label is {label!r}, expected {' or '.join(_CIFAR_100)} for CIFAR-100")
    return _CIFAR_10 if is_cifar_10 else _CIFAR_100[label or "fine"]


def _read_batch(file: Path, data: bytes, variant: _Variant, is_binary: bool) -> tuple[NDArray[np.uint8], list[int]]:
    """Returns pixels (N, 3, 32, 32) and N labels."""
    if is_binary:
        size = variant.num_label_bytes + PIXELS
        if not data or len(data) % size:
            raise RefusedError(
                f"{file}: {len(data):,} bytes is not a multiple of the record size {size}; download it again"
            )
        records = np.frombuffer(data, np.uint8).reshape(-1, size)
        return records[:, variant.num_label_bytes :].reshape(-1, 3, 32, 32), records[:, variant.label_byte].tolist()
    value = load_pickle(file, data)
    array, labels = value.get("data"), value.get(variant.label_field)
    if not isinstance(array, PixelArray) or not isinstance(labels, list):
        raise RefusedError(f"{file}: expected the keys 'data' and {variant.label_field!r}, found {sorted(value)}")
    if len(labels) != len(array.pixels) or not all(isinstance(label, int) and label >= 0 for label in labels):
        raise RefusedError(
            f"{file}: {len(array.pixels):,} images but {len(labels):,} labels; expected one class index per image"
        )
    return array.pixels.reshape(-1, 3, 32, 32), labels


def _read_class_names(location: DataLocation, members: Sequence[Member], variant: _Variant) -> list[str]:
    """Returns class names by index, or the indices as text if no file has the names."""
    for member in members:
        name = PurePosixPath(member.name).name
        if name == variant.meta[0]:
            names = load_pickle(location.path / member.name, _read_file(location, member)).get(variant.meta[1])
            if isinstance(names, list) and all(isinstance(value, str) for value in names):
                return names
        if name == variant.names_file:
            return _read_file(location, member).decode("latin1").split()
    return [str(index) for index in range(variant.num_classes)]


def _read_file(location: DataLocation, member: Member) -> bytes:
    file = location.path / member.name
    if member.size > MAX_BATCH_BYTES:
        raise RefusedError(f"{file}: {member.size:,} bytes; the largest CIFAR file has about 155 million")
    try:
        with member.open() as stream:
            return stream.read()
    except OSError as error:
        raise RefusedError(f"{file}: {error}; copy or download it again") from None


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with open_files(location) as tree:
        members = sorted(tree.members, key=lambda member: member.name)
        variant = _select_variant(location, [member.name for member in members])
        names = _read_class_names(location, members, variant)
        yield RawDataset(
            names, [sample for member in members for sample in _read_samples(location, member, variant, names)]
        )


def _read_samples(
    location: DataLocation, member: Member, variant: _Variant, names: Sequence[str]
) -> Iterator[RawSample]:
    match = variant.batches.match(PurePosixPath(member.name).name)
    if match is None:
        return
    file = location.path / member.name
    pixels, labels = _read_batch(file, _read_file(location, member), variant, match[2] is not None)
    split: SplitName = "test" if match[1].startswith("test") else "train"
    for row, label in enumerate(labels):
        if label >= len(names):
            raise RefusedError(
                f"{file}: image {row} has the label {label}, expected 0 to {len(names) - 1}; the file is damaged or "
                f"not {variant.title}"
            )
        yield RawSample(f"{member.name}#{row}", names[label], split, partial(pixels.__getitem__, row))


FORMAT = Format(
    "cifar",
    "the original batches of CIFAR-10 and CIFAR-100, binary or Python, also as tar.gz",
    _detect,
    _open,
    takes_columns=True,
)
