"""The images of a dataset on disk, raw or JPEG, with a common interface for reading.

Raw pixels are read without decoding and take 150 kB per image of 224 pixels; JPEG must be decoded and takes about a
fifth of the space.
"""

import io
import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.runtime.errors import RefusedError

ImageLayout = Literal["raw", "jpeg"]
RAW, INDEX = "images.npy", "index.npy"
_SHARD = "images-{:05d}.jpeg"
_SHARD_BYTES = 2**30
_QUALITY = 95
_BUFFER_BYTES = 2**20


class Images(Protocol):
    """(N, C, H, W) uint8 on disk; indexing by an integer, slice, or list of indices returns an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Encodes one image (C, H, W) as JPEG, in grayscale if its channels are equal."""
    is_gray = is_grayscale(image)
    file = io.BytesIO()
    Image.fromarray(image[0] if is_gray else np.ascontiguousarray(image.transpose(1, 2, 0))).save(
        file, "JPEG", quality=_QUALITY
    )
    return file.getvalue()


def is_grayscale(image: NDArray[np.uint8]) -> bool:
    """Whether an image (C, H, W) has one channel, or equal channels."""
    return len(image) == 1 or bool((image[1:] == image[:1]).all())


class JpegImages:
    """Images in JPEG files, decoded by several threads when they are read."""

    def __init__(
        self, shards: Sequence[NDArray[np.uint8]], index: NDArray[np.int64], shape: tuple[int, int, int]
    ) -> None:
        """Initializes from memory-mapped shards.

        Args:
            shards: Bytes of the files.
            index: (N, 3): shard, offset, and size in bytes.
            shape: (C, H, W) of each image.
        """
        self._shards = shards
        self._index = index
        self._shape = shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self._index), *self._shape)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        rows = self._index[key]
        if rows.ndim == 1:
            return self._decode(rows)
        images = np.empty((len(rows), *self._shape), np.uint8)
        for position, image in enumerate(_threads().map(self._decode, rows)):
            images[position] = image
        return images

    def select_range(self, start: int, end: int) -> "JpegImages":
        """Returns the images from `start` to before `end` without decoding them."""
        return JpegImages(self._shards, self._index[start:end], self._shape)

    def packed(self, row: int) -> bytes:
        """Returns one image's JPEG file."""
        shard, start, size = self._index[row].tolist()
        packed: bytes = self._shards[shard][start : start + size].tobytes()
        return packed

    def _decode(self, row: NDArray[np.int64]) -> NDArray[np.uint8]:
        shard, start, size = row.tolist()
        channels, height, width = self._shape
        with Image.open(io.BytesIO(self._shards[shard][start : start + size]), formats=("JPEG",)) as image:
            if image.size != (width, height):
                raise RefusedError(
                    f"a stored image has {image.width}x{image.height} pixels, but the manifest specifies "
                    f"{width}x{height}; preprocess again"
                )
            array = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        return array[None] if channels == 1 else array.transpose(2, 0, 1)


class RawImages:
    """Raw images read one by one: slower than a memory-mapped file, but no pages stay in memory."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        """Initializes from a file that ends with (N, C, H, W) bytes."""
        self._path = path
        self.shape = shape
        self._start = path.stat().st_size - math.prod(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        if isinstance(key, int):
            size = math.prod(self.shape[1:])
            start = self._start + key * size
            return np.fromfile(self._path, np.uint8, size, offset=start).reshape(self.shape[1:])
        rows = range(len(self))[key] if isinstance(key, slice) else key
        return np.array([self[int(row)] for row in rows], np.uint8).reshape(-1, *self.shape[1:])


def write(
    folder: Path, layout: ImageLayout, images: Iterable[bytes | memoryview], count: int, shape: tuple[int, int, int]
) -> None:
    """Writes images to one raw file, or to JPEG shards of 1 GiB and an index.

    Args:
        folder: An existing folder.
        layout: Layout of `images`.
        images: `count` images, as raw pixels or JPEG files.
        count: N.
        shape: (C, H, W).
    """
    if layout == "raw":
        with (folder / RAW).open("wb", buffering=_BUFFER_BYTES) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for image in images:
                file.write(image)
        return
    index = np.empty((count, 3), np.int64)
    shard, start = 0, 0
    file = (folder / _SHARD.format(shard)).open("wb", buffering=_BUFFER_BYTES)
    try:
        for row, image in enumerate(images):
            if start and start + len(image) > _SHARD_BYTES:
                file.close()
                shard, start = shard + 1, 0
                file = (folder / _SHARD.format(shard)).open("wb", buffering=_BUFFER_BYTES)
            file.write(image)
            index[row] = shard, start, len(image)
            start += len(image)
    finally:
        file.close()
    np.save(folder / INDEX, index)


def image_files(folder: Path) -> list[str]:
    """Returns the names of all image files of either layout in a folder."""
    return [path.name for pattern in (RAW, INDEX, "images-*.jpeg") for path in folder.glob(pattern)]


def read(folder: Path, layout: ImageLayout, count: int, shape: tuple[int, int, int], *, mapped: bool = True) -> Images:
    """Opens the images of a dataset; they stay on disk.

    Args:
        folder: Folder of the dataset.
        layout: Layout of the stored images.
        count: N.
        shape: (C, H, W).
        mapped: Whether raw images are memory-mapped, which is fastest, or read with constant memory.

    Raises:
        RefusedError: Files are missing, damaged, or do not match `count` and `shape`.
    """
    if layout == "raw":
        array = load_array(folder / RAW, mapped=True)
        check_array(folder / RAW, array, "uint8", (count, *shape))
        return array if mapped else RawImages(folder / RAW, array.shape)
    index = load_array(folder / INDEX, mapped=False)
    check_array(folder / INDEX, index, "int64", (count, 3))
    files = [path for path in sorted(folder.glob("images-*.jpeg")) if path.stat().st_size]
    shards = [np.memmap(path, np.uint8, mode="r") for path in files]
    sizes = np.array([len(shard) for shard in shards], np.int64)
    if count and not (
        index[:, 0].min() >= 0
        and index[:, 0].max() < len(shards)
        and index[:, 1:].min() >= 0
        and (index[:, 1] + index[:, 2] <= sizes[index[:, 0]]).all()
    ):
        raise RefusedError(f"{folder / INDEX}: contains offsets outside of the JPEG shards; preprocess again")
    return JpegImages(shards, index, shape)


def image_range(images: Images, start: int, end: int) -> Images:
    """Returns the images from `start` to before `end` without reading them."""
    view: Images = images.select_range(start, end) if isinstance(images, JpegImages) else images[start:end]
    return view


def packed_image(images: Images, row: int) -> bytes:
    """Returns one image as it is stored: raw pixels, or a JPEG file."""
    stored: bytes = images.packed(row) if isinstance(images, JpegImages) else images[row].tobytes()
    return stored


def load_array(path: Path, *, mapped: bool) -> NDArray[Any]:
    """Reads a .npy file.

    Raises:
        RefusedError: The file is missing or not an array.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise RefusedError(f"{path}: not an array: {error}; preprocess again") from None
    return array


def check_array(path: Path, array: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> None:
    """Refuses an array whose type or shape differs from the manifest."""
    if array.dtype != dtype or array.shape != shape:
        raise RefusedError(
            f"{path}: expected {dtype} {shape} as in the manifest, found {array.dtype} {array.shape}; preprocess again"
        )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), "jpeg")
