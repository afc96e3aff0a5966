"""IDX, the format of MNIST: `train-` and `t10k-` images and labels, plain or `.gz`, in a folder or an archive."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftline.data.dataset import SplitName
from graftline.data.formats.archives.file_trees import iter_first_names, open_files
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import GZIP, GzipStream
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
_CHUNK = 2**20


def _detect(location: DataLocation) -> bool:
    return any(_NAME.match(PurePosixPath(name).name) for name in iter_first_names(location))


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with ExitStack() as stack:
        files = stack.enter_context(open_files(location))
        samples: list[RawSample] = []
        values: set[int] = set()
        for prefix, (images_file, labels_file) in _pair_files(location.path, files.members).items():
            images = _load_array(location.path, images_file, "images", stack)
            labels = _load_array(location.path, labels_file, "labels", stack)
            if len(images) != len(labels):
                raise RefusedError(
                    f"{location}: {images_file.name} has {len(images):,} images, but {labels_file.name} has "
                    f"{len(labels):,} labels; the numbers must be equal"
                )
            values.update(np.unique(labels).tolist())
            samples += [
                RawSample(f"{images_file.name}#{index}", str(label), _SPLITS[prefix], partial(_image, images, index))
                for index, label in enumerate(labels.tolist())
            ]
        yield RawDataset([str(value) for value in sorted(values)], samples)


def _pair_files(root: Path, members: list[Member]) -> dict[str, tuple[Member, Member]]:
    """Returns images and labels files by prefix; an uncompressed file takes precedence over its `.gz`."""
    files: dict[tuple[str, str], Member] = {}
    for member in sorted(members, key=lambda member: member.name, reverse=True):
        if match := _NAME.match(PurePosixPath(member.name).name):
            files[match[1], match[2]] = member
    pairs = {}
    for prefix in sorted({prefix for prefix, _ in files}, key=list(_SPLITS).index):
        for content in _MAGIC:
            if (prefix, content) not in files:
                raise RefusedError(
                    f"{root}: no {prefix}-{content}-idx{_MAGIC[content] % 16}-ubyte or its .gz; found "
                    + ", ".join(member.name for member in files.values())
                )
        pairs[prefix] = files[prefix, "images"], files[prefix, "labels"]
    if not pairs:
        raise RefusedError(
            f"{root}: no IDX files; expected names such as train-images-idx3-ubyte and train-labels-idx1-ubyte, "
            "optionally with .gz"
        )
    return pairs


def _load_array(root: Path, member: Member, content: str, stack: ExitStack) -> NDArray[np.uint8]:
    """Returns images (N, H, W) or labels (N,), valid until the stack closes."""
    file = root / member.name
    num_axes = _MAGIC[content] % 16
    stream = _decompress(file, member, stack.enter_context(member.open()))
    header = stream.read(4 + 4 * num_axes)
    if len(header) < 4 + 4 * num_axes or int.from_bytes(header[:4], "big") != _MAGIC[content]:
        raise RefusedError(
            f"{file}: not IDX {content}: expected the magic number {_MAGIC[content]:08x}, found "
            f"{header[:4].hex() or 'an empty file'}; download it again"
        )
    shape = tuple(int.from_bytes(header[start : start + 4], "big") for start in range(4, len(header), 4))
    if any(side == 0 for side in shape[1:]):
        raise RefusedError(f"{file}: the header declares images of {shape[1]}x{shape[2]} pixels; download it again")
    return _map_from_disk(stream, shape, file, stack).reshape(shape)


def _decompress(file: Path, member: Member, stream: BinaryIO) -> BinaryIO | GzipStream:
    is_compressed = stream.read(2) == GZIP
    stream.seek(0)
    return GzipStream(file, stream, member.size) if is_compressed else stream


def _map_from_disk(
    stream: BinaryIO | GzipStream, shape: tuple[int, ...], file: Path, stack: ExitStack
) -> NDArray[np.uint8]:
    """Copies the rest of a stream to an unnamed temporary file and maps it, so that memory use stays constant.

    Args:
        stream: Positioned after the header.
        shape: Shape that the header declares. It is not trusted: nothing is allocated for it.
        file: For messages.
        stack: Closes the temporary file.

    Returns:
        Flat uint8 array.

    Raises:
        RefusedError: The stream holds fewer or more bytes than declared.
    """
    size = int(np.prod(shape, dtype=object))
    temporary = stack.enter_context(TemporaryFile())  # noqa: SIM115 - the stack closes it
    num_read = 0
    while num_read <= size and (chunk := stream.read(min(_CHUNK, size + 1 - num_read))):
        temporary.write(chunk)
        num_read += len(chunk)
    if num_read != size:
        raise RefusedError(
            f"{file}: the header declares the shape {' x '.join(map(str, shape))}, which takes {size:,} bytes; found "
            f"{f'{num_read:,}' if num_read < size else 'more'}; copy or download it again"
        )
    temporary.flush()
    return np.asarray(np.memmap(temporary, np.uint8, mode="r", shape=(size,))) if size else np.empty(0, np.uint8)


def _image(images: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    image: NDArray[np.uint8] = images[index][None]
    return image


FORMAT = Format("idx", "the files of MNIST: train-/t10k- images and labels, plain or .gz", _detect, _open)
