"""Small raw data: WebDataset shards, COCO annotations and CIFAR-100 files."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.builders.raw_data import make_png, write_folder, write_tar


def make_jpg(seed: int) -> bytes:
    """Returns a JPEG of 12x10 random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def make_shard_members(count: int = 6, start: int = 0, classes: int = 2) -> dict[str, bytes]:
    """Returns the members of a shard: an image and a class number per key."""
    members = {}
    for number in range(start, start + count):
        members[f"{number:04}.cls"] = str(number % classes).encode()
        members[f"{number:04}.jpg"] = make_jpg(number)
    return members


def write_shards(folder: Path, suffix: str = ".tar") -> Path:
    """Writes two training shards and one test shard and returns the folder."""
    for name, start in (("train-000000", 0), ("train-000001", 6), ("test-000000", 12)):
        folder.mkdir(parents=True, exist_ok=True)
        write_tar(folder / (name + suffix), make_shard_members(start=start))
    return folder


def make_coco_json(
    labels: dict[str, list[int]], names: tuple[str, ...] = ("cat", "dog", "owl"), **change: Any
) -> bytes:
    """Returns a COCO JSON.

    Args:
        labels: Category ids of the annotations, counted from 1, by image file name.
        names: Category names.
        **change: Top-level values to replace.
    """
    annotations = [(image, category) for image, categories in enumerate(labels.values()) for category in categories]
    value = {
        "info": {"year": 2026},
        "licenses": [],
        "images": [{"id": image, "file_name": name, "height": 10, "width": 12} for image, name in enumerate(labels)],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": [1, 2, 3, 4],
                "iscrowd": 0,
                "segmentation": [[1, 2, 3, 2, 3, 4]],
                "area": 12,
            }
            for number, (image, category) in enumerate(annotations)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": "animal"} for number, name in enumerate(names, start=1)
        ],
    }
    return json.dumps({**value, **change}).encode()


def write_coco_folder(folder: Path) -> Path:
    """Writes the layout of COCO itself: two JSON files in `annotations`, each with a folder of images."""
    files = {}
    for split, start in (("train2017", 0), ("val2017", 8)):
        images = {f"{number:012}.png": [1 + number % 2] for number in range(start, start + 8)}
        files.update({f"{split}/{name}": make_png(start + number) for number, name in enumerate(images)})
        files[f"annotations/instances_{split}.json"] = make_coco_json(images)
    return write_folder(folder, files)


def make_cifar100_pickles(count: int = 20, protocol: int = 2) -> dict[str, bytes]:
    """Returns the Python version of CIFAR-100 with `count` images per split."""
    generator = np.random.default_rng(0)
    fine = [number * 7 % 100 for number in range(count)]
    files = {
        f"cifar-100-python/{name}": pickle.dumps(
            {
                "data": generator.integers(0, 256, (count, 3072), dtype=np.uint8),
                "fine_labels": fine,
                "coarse_labels": [label % 20 for label in fine],
                "batch_label": "a batch",
                "filenames": ["x.png"] * count,
            },
            protocol,
        )
        for name in ("train", "test")
    }
    files["cifar-100-python/meta"] = pickle.dumps(
        {
            "fine_label_names": [f"thing{index}" for index in range(100)],
            "coarse_label_names": [f"kind{index}" for index in range(20)],
        },
        protocol,
    )
    files["cifar-100-python/file.txt~"] = b""
    return files


def make_cifar100_binary(count: int = 20) -> dict[str, bytes]:
    """Returns the binary version of CIFAR-100 with `count` training images and 10 test images."""
    records = np.random.default_rng(0).integers(0, 256, (count, 3074), dtype=np.uint8)
    records[:, 1] = np.arange(count) * 7 % 100
    records[:, 0] = records[:, 1] % 20
    return {
        "train.bin": records.tobytes(),
        "test.bin": records[:10].tobytes(),
        "fine_label_names.txt": "\n".join(f"thing{index}" for index in range(100)).encode() + b"\n",
        "coarse_label_names.txt": "\n".join(f"kind{index}" for index in range(20)).encode() + b"\n",
    }
