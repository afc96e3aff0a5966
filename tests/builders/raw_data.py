"""Small raw data: image folders, archives, MNIST and CIFAR-10 files, written by standard tools."""

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASS_FILES = [f"{label}/{number}.png" for label in ("ants", "bees") for number in range(4)]
SPLIT_FILES = [
    f"{split}/{label}/{number}.png"
    for split in ("train", "val", "test")
    for label in ("ants", "bees")
    for number in range(3)
]


def make_png(seed: int, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    """Returns an encoded RGB image of random pixels.

    Args:
        seed: Seed of the pixels.
        size: Width and height.
        kind: Pillow's name of the file format.
    """
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def make_images(names: list[str]) -> dict[str, bytes]:
    """Returns a different image for each name."""
    return {name: make_png(number) for number, name in enumerate(names)}


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """Writes files by relative name and returns the folder."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Writes a compressed zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """Writes a tar, compressed if its name ends in gz. The `extra` members have no content."""
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as opened:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
        for info in extra:
            opened.addfile(info)
    return path


def encode_idx(array: np.ndarray) -> bytes:
    """Returns a uint8 array as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape) + array.tobytes()


def make_mnist(count: int = 20, packed: bool = True) -> dict[str, bytes]:
    """Returns the four files of MNIST with `count` images of 7x6 pixels per split, gzipped if `packed`."""
    generator = np.random.default_rng(0)
    files = {}
    for prefix in ("train", "t10k"):
        files[f"{prefix}-images-idx3-ubyte"] = encode_idx(generator.integers(0, 256, (count, 7, 6), dtype=np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = encode_idx((np.arange(count) % 10).astype(np.uint8))
    return {name + ".gz": gzip.compress(content) for name, content in files.items()} if packed else files


def make_cifar10_pickles(count: int = 20, protocol: int = 2) -> dict[str, bytes]:
    """Returns the Python version of CIFAR-10 with two training batches of `count` images and one test batch."""
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


def make_cifar10_binary(count: int = 20) -> dict[str, bytes]:
    """Returns the binary version of CIFAR-10 with one training batch of `count` images and a test batch of 10."""
    records = np.random.default_rng(0).integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(count) % 10
    names = "\n".join(f"thing{index}" for index in range(10)).encode()
    return {"data_batch_1.bin": records.tobytes(), "test_batch.bin": records[:10].tobytes(), "batches.meta.txt": names}
