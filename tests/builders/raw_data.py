"""Small raw data of every format, written by the formats' own tools."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from graftline.data.formats.location import DataLocation, data_location

PLAIN = [f"{label}/{number}.png" for label in ("ants", "bees") for number in range(4)]
SPLIT = [
    f"{split}/{label}/{number}.png"
    for split in ("train", "val", "test")
    for label in ("ants", "bees")
    for number in range(3)
]


def at(path: Path) -> DataLocation:
    """A local path as formats are told of it, whether it is there or not."""
    return (
        data_location(str(path), None)
        if path.exists() or str(path).startswith("builtin:")
        else DataLocation(str(path), path)
    )


def png(seed: int, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def pictures(names: list[str]) -> dict[str, bytes]:
    """Name to a picture of its own."""
    return {name: png(number) for number, name in enumerate(names)}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """A tar, compressed where its name ends in gz; `extra` members have no content."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        for info in extra:
            opened.addfile(info)
    return path


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape) + array.tobytes()


def mnist(count: int = 20, packed: bool = True) -> dict[str, bytes]:
    """Train and t10k, images and labels."""
    generator = np.random.default_rng(0)
    files = {}
    for prefix in ("train", "t10k"):
        files[f"{prefix}-images-idx3-ubyte"] = idx(generator.integers(0, 256, (count, 7, 6), dtype=np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
    return {name + ".gz": gzip.compress(content) for name, content in files.items()} if packed else files


def cifar_python(count: int = 20, protocol: int = 2) -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    batches = "data_batch_1", "data_batch_2", "test_batch"
    files = {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {
                "data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
                "labels": [i % 10 for i in range(count)],
                "batch_label": "a batch",
                "filenames": ["x.png"] * count,
            },
            protocol,
        )
        for name in batches
    }
    files["cifar-10-batches-py/batches.meta"] = pickle.dumps(
        {"label_names": [f"thing{index}" for index in range(10)], "num_vis": 3072}, protocol
    )
    return files


def cifar_binary(count: int = 20) -> dict[str, bytes]:
    records = np.random.default_rng(0).integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(count) % 10
    names = "\n".join(f"thing{index}" for index in range(10)).encode()
    return {"data_batch_1.bin": records.tobytes(), "test_batch.bin": records[:10].tobytes(), "batches.meta.txt": names}
