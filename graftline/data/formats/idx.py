"""IDX, MNIST's own files: `train-` and `t10k-` images and labels, plain or `.gz`, in a folder or an archive."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import SplitName
from graftline.data.formats.archives.files import files_of, glance
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.unpacked import content, mapped
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError

_NAME = re.compile(r"^(train|val|valid|validation|test|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?$")
_SPLITS: dict[str, SplitName] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "t10k": "test",
}
_MAGIC = {"images": 0x00000803, "labels": 0x00000801}


def _found(place: DataLocation) -> bool:
    return any(_NAME.match(PurePosixPath(name).name) for name in glance(place))


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with ExitStack() as stack:
        files = stack.enter_context(files_of(place))
        pairs = _pairs(place.path, files.members)
        samples: list[RawSample] = []
        values: set[int] = set()
        for prefix, (images_file, labels_file) in pairs.items():
            images = _array(place.path, images_file, "images", stack)
            labels = _array(place.path, labels_file, "labels", stack)
            if len(images) != len(labels):
                raise RefusedError(
                    f"{place}: {images_file.name} has {len(images):,} images, {labels_file.name} "
                    f"{len(labels):,} labels; expected as many"
                )
            values.update(np.unique(labels).tolist())
            split = _SPLITS[prefix]
            samples += [
                RawSample(f"{images_file.name}#{index}", str(label), split, partial(_image, images, index))
                for index, label in enumerate(labels.tolist())
            ]
        yield RawDataset([str(value) for value in sorted(values)], samples)


def _pairs(place: Path, members: list[Member]) -> dict[str, tuple[Member, Member]]:
    """Images and labels by prefix; where a file is there both plain and packed, the plain one."""
    found: dict[tuple[str, str], Member] = {}
    for member in sorted(members, key=lambda member: member.name, reverse=True):
        if match := _NAME.match(PurePosixPath(member.name).name):
            found[match[1], match[2]] = member
    pairs = {}
    for prefix in sorted({prefix for prefix, _ in found}, key=list(_SPLITS).index):
        for kind in _MAGIC:
            if (prefix, kind) not in found:
                have = ", ".join(member.name for member in found.values())
                raise RefusedError(
                    f"{place}: no {prefix}-{kind}-idx{_MAGIC[kind] % 16}-ubyte, with or without .gz; found {have}"
                )
        pairs[prefix] = found[prefix, "images"], found[prefix, "labels"]
    if not pairs:
        raise RefusedError(
            f"{place}: no IDX files; expected train-images-idx3-ubyte, train-labels-idx1-ubyte and the "
            "like, with or without .gz"
        )
    return pairs


def _array(place: Path, member: Member, kind: str, stack: ExitStack) -> NDArray[np.uint8]:
    """Images (N, H, W) or labels (N,)."""
    where = place / member.name
    axes = _MAGIC[kind] % 16
    stream = content(place, member, stack.enter_context(member.open()))
    header = stream.read(4 + 4 * axes)
    if len(header) < 4 + 4 * axes or int.from_bytes(header[:4], "big") != _MAGIC[kind]:
        raise RefusedError(
            f"{where}: expected IDX {kind}, beginning with {_MAGIC[kind]:08x}; found "
            f"{header[:4].hex() or 'an empty file'}"
        )
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, len(header), 4))
    size = int(np.prod(shape, dtype=object))
    if any(side == 0 for side in shape[1:]):
        raise RefusedError(f"{where}: its header says images of {shape[1]}x{shape[2]} pixels")
    flat, spool = mapped(stream, size, f"{where}: its header says {' x '.join(map(str, shape))}")
    stack.enter_context(spool)
    return flat.reshape(shape)


def _image(images: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = images[index][None]
    return image


FORMAT = Format("idx", "MNIST's own files: train-/t10k- images and labels, plain or .gz", _found, _read)
