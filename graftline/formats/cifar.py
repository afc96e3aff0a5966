"""CIFAR-10's own batches, binary or python pickles, in a folder, tar or tar.gz.

The pickles are read by an unpickler that knows five names, each bound to a stand-in of ours; nothing else is looked
up. Each stand-in defines `__setstate__`, without which a pickle could set attributes on the stand-in itself.
"""

import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.dataset import SplitName
from graftline.errors import RefusedError
from graftline.formats.files import files_of, glance
from graftline.formats.members import Member
from graftline.formats.raw import Format, Raw, Sample

_NAME = re.compile(r"^(data_batch_\d+|test_batch)(\.bin)?$")
_PIXELS = 3 * 32 * 32
_DAMAGE = (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError,
           MemoryError)  # what the unpickler raises for bytes that are no pickle
_MAX_BATCH = 256 * 2**20
CLASSES = 10


class _Kind:
    """Stands in for a numpy dtype: remembers its name, takes no state."""

    def __init__(self, name: object = "", *rest: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands in for a numpy array: keeps the bytes, whatever shape was claimed."""

    def __init__(self, *claims: object) -> None:
        self.pixels = np.empty((0, _PIXELS), np.uint8)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, columns_first, data = state
        raw = data.encode("latin1") if isinstance(data, str) else bytes(memoryview(data))
        name = kind.name if isinstance(kind, _Kind) else kind
        if name not in ("u1", "uint8") or tuple(shape) != (len(raw) // _PIXELS, _PIXELS):
            raise pickle.UnpicklingError(f"an array of {name} {shape} in {len(raw):,} bytes")
        self.pixels = np.frombuffer(raw, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Bytes:
    """Stands in for `_codecs.encode`, by which a later python writes bytes into an old protocol."""

    def __new__(cls, text: str, encoding: str) -> bytes:  # type: ignore[misc]
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"encoding {encoding!r}")
        return text.encode("latin1")

    def __setstate__(self, state: object) -> None:
        pass


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _Bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")
        return _ADMITTED[module, name]


def unpickled(where: Path, data: bytes) -> dict[str, Any]:
    """Reads one of CIFAR's own pickles.

    Args:
        where: For messages.
        data: The file.

    Returns:
        Its mapping; arrays are (N, 3072) uint8.

    Raises:
        RefusedError: Anything else than such a mapping.
    """
    try:
        value = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except _DAMAGE as error:
        raise RefusedError(f"{where}: not a CIFAR batch: {error}; download it again from its source") from None
    if not isinstance(value, dict):
        raise RefusedError(f"{where}: not a CIFAR batch: expected a mapping, found {type(value).__name__}")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): item for key, item in value.items()}


def _batch(where: Path, data: bytes, binary: bool) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels (N, 3, 32, 32) and labels."""
    if binary:
        if not data or len(data) % (_PIXELS + 1):
            raise RefusedError(f"{where}: {len(data):,} bytes are no whole number of records of {_PIXELS + 1}; "
                               "download it again")
        records = np.frombuffer(data, np.uint8).reshape(-1, _PIXELS + 1)
        return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].tolist()
    value = unpickled(where, data)
    array, labels = value.get("data"), value.get("labels")
    if not isinstance(array, _Array) or not isinstance(labels, list):
        raise RefusedError(f"{where}: expected 'data' and 'labels', found {sorted(value)}")
    if len(labels) != len(array.pixels) or not all(isinstance(label, int) and label >= 0 for label in labels):
        raise RefusedError(f"{where}: {len(array.pixels):,} images, {len(labels):,} labels; expected one index each")
    return array.pixels.reshape(-1, 3, 32, 32), labels


def _names(place: Path, members: list[Member]) -> list[str]:
    """Class names by index, their numbers where no file gives them."""
    for member in members:
        match PurePosixPath(member.name).name:
            case "batches.meta":
                names = unpickled(place / member.name, _content(place, member)).get("label_names")
                if isinstance(names, list) and all(isinstance(name, str) for name in names):
                    return names
            case "batches.meta.txt":
                return _content(place, member).decode("latin1").split()
    return [str(index) for index in range(CLASSES)]


def _content(place: Path, member: Member) -> bytes:
    if member.size > _MAX_BATCH:
        raise RefusedError(f"{place / member.name}: {member.size:,} bytes; a CIFAR batch has about 31 million")
    with member.open() as file:
        return file.read()


def _found(place: Path) -> bool:
    return any(_NAME.match(PurePosixPath(name).name) for name in glance(place))


@contextmanager
def _read(place: Path) -> Iterator[Raw]:
    with files_of(place) as files:
        members = sorted(files.members, key=lambda member: member.name)
        names = _names(place, members)
        samples: list[Sample] = []
        seen: set[int] = set()
        for member in members:
            match = _NAME.match(PurePosixPath(member.name).name)
            if match is None:
                continue
            pixels, labels = _batch(place / member.name, _content(place, member), match[2] is not None)
            for row, label in enumerate(labels):
                if label >= len(names):
                    raise RefusedError(f"{place / member.name}: image {row} has the label {label}, expected 0 to "
                                       f"{len(names) - 1}; the file is damaged, or no CIFAR-10")
            split: SplitName = "test" if match[1] == "test_batch" else "train"
            seen.update(labels)
            samples += [Sample(f"{member.name}#{index}", names[label], split, partial(pixels.__getitem__, index))
                        for index, label in enumerate(labels)]
        if not samples:
            raise RefusedError(f"{place}: no CIFAR batches; expected data_batch_1, test_batch and so on, or with .bin")
        yield Raw(names, samples)


FORMAT = Format("cifar", "CIFAR-10's own batches, binary or python, also in their tar.gz", _found, _read)
