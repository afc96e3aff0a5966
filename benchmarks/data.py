"""Cost of the data: preprocessing, reading a dataset, memory and time as the data grow, downloads.

    .venv/bin/python benchmarks/data.py [--rounds 3] [--json FILE] [--only NAME ...]

Photographs are those of the shared datasets (`data/`, or $GRAFTLINE_DATA). Each measurement runs in its own process,
without the time of imports; rounds are interleaved and medians are taken. The peer of preprocessing and of an epoch's
input is a pass of torchvision's ImageFolder (shorter side to 224, center crop of 224x224, uint8) through a DataLoader
with one worker per core.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from results import Row, result_row, shared_data, show

SIDE, BATCH, CORES = 224, 32, os.cpu_count() or 1
PHOTOGRAPHS = ("hymenoptera.zip", "weather4.zip")
MIXED = (*PHOTOGRAPHS, "hurricane_damage.zip")
Figures = dict[str, float]


# Measurements that run in their own process


def preprocess(folder: Path, out: Path) -> Figures:
    from graftline.config import Data
    from graftline.config.jobs import PreprocessJob
    from graftline.steps.preprocess import preprocess

    job = PreprocessJob(label="photographs", data=Data(data=str(folder)), image_size=SIDE, seed=0, fingerprint="")
    began = time.perf_counter()
    manifest = preprocess(job, out=out)
    return {"seconds": time.perf_counter() - began, "images": sum(manifest.sizes.values())}


def image_folder(folder: Path, _: Path) -> Figures:
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = transforms.Compose([transforms.Resize(SIDE), transforms.CenterCrop(SIDE), transforms.PILToTensor()])
    began = time.perf_counter()
    images = sum(
        len(batch) for batch, _ in DataLoader(ImageFolder(folder, steps), BATCH, shuffle=True, num_workers=CORES)
    )
    return {"seconds": time.perf_counter() - began, "images": images}


def epoch(_: Path, out: Path) -> Figures:
    """Passes over the training split in random order, as training reads it; the first one warms the page cache."""
    import torch

    from graftline.data import dataset
    from graftline.training.batches.samples import Samples, shuffled_batches

    samples = Samples([dataset.read(out).train])

    def once() -> int:
        return sum(len(samples.images(rows)) for rows in shuffled_batches(len(samples), BATCH, torch.Generator()))

    return {**best(once, 5), "images": len(samples)}


def memory_copy(_: Path, out: Path) -> Figures:
    """Copies the same bytes from memory to memory, batch by batch."""
    import numpy as np

    from graftline.data import dataset

    images = np.array(dataset.read(out).train.images)
    return {
        **best(lambda: sum(len(images[low : low + BATCH].copy()) for low in range(0, len(images), BATCH)), 5),
        "images": len(images),
    }


def best(work: Callable[[], int], times: int) -> Figures:
    times_taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        times_taken.append(time.perf_counter() - began)
    return {"seconds": statistics.median(times_taken[1:])}


CHILDREN: dict[str, Callable[[Path, Path], Figures]] = {
    "preprocess": preprocess,
    "image_folder": image_folder,
    "epoch": epoch,
    "memory_copy": memory_copy,
}


def child(name: str, folder: Path, out: Path) -> Figures:
    answer = subprocess.run(
        [sys.executable, __file__, "--child", name, str(folder), str(out)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    figures: Figures = json.loads(answer.splitlines()[-1])
    return figures


# Comparisons


def photographs(data: Path, archives: tuple[str, ...], into: Path, most: int | None = None) -> Path:
    """Unpacks up to `most` photographs, alternating between the sets, into one folder per class."""
    sets = [iter_of(data / name) for name in archives]
    alike = islice((item for group in zip_longest_flat(sets) for item in group), most)
    for number, (label, content, suffix) in enumerate(alike):
        path = into / label / f"{number:05}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return into


def iter_of(archive: Path) -> Iterator[tuple[str, bytes, str]]:
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))]
        for name in sorted(names, key=hash_of):
            yield Path(name).parent.name, opened.read(name), Path(name).suffix.lower()


def hash_of(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def zip_longest_flat(sets: list[Iterator[tuple[str, bytes, str]]]) -> Iterator[list[tuple[str, bytes, str]]]:
    while group := [item for each in sets if (item := next(each, None))]:
        yield group


def input_rows(data: Path, work: Path, rounds: int) -> list[Row]:
    folder = photographs(data, PHOTOGRAPHS, work / "photographs")
    measured: dict[str, list[Figures]] = {name: [] for name in CHILDREN}
    for number in range(rounds):
        for name in CHILDREN:
            measured[name].append(child(name, folder, work / f"artifact{number}"))
    each = {
        name: statistics.median(one["seconds"] / one["images"] for one in figures) * 1e3
        for name, figures in measured.items()
    }
    return [
        compared(
            "preprocess an image (lower is better); peer: ImageFolder + DataLoader",
            each["preprocess"],
            each["image_folder"],
            each["preprocess"] / each["image_folder"],
            1.15,
            "<=",
            "ms",
            rounds,
        ),
        compared(
            "an epoch's input, an image (faster is better); peer: ImageFolder + DataLoader",
            each["epoch"],
            each["image_folder"],
            each["image_folder"] / each["epoch"],
            10,
            ">=",
            "ms",
            rounds,
        ),
        compared(
            "an epoch's input, an image (lower is better); peer: a memory copy",
            each["epoch"],
            each["memory_copy"],
            each["epoch"] / each["memory_copy"],
            1.5,
            "<=",
            "ms",
            rounds,
        ),
    ]


def growth_rows(data: Path, work: Path, rounds: int) -> list[Row]:
    once, eight = (photographs(data, MIXED, work / f"mixed{size}", size) for size in (900, 7200))
    measured: dict[str, list[Figures]] = {"once": [], "eight": []}
    for number in range(rounds):
        for name, folder in (("once", once), ("eight", eight)):
            measured[name].append(child("preprocess", folder, work / f"{name}{number}"))
    peak = {name: statistics.median(one["peak_mb"] for one in figures) for name, figures in measured.items()}
    each = {
        name: statistics.median(one["seconds"] / one["images"] for one in figures) * 1e3
        for name, figures in measured.items()
    }
    return [
        compared(
            "peak memory at 8x the images (lower is better); peer: at 1x",
            peak["eight"],
            peak["once"],
            peak["eight"] / peak["once"],
            1.1,
            "<=",
            "MB",
            rounds,
        ),
        compared(
            "time an image at 8x (lower is better); peer: at 1x",
            each["eight"],
            each["once"],
            each["eight"] / each["once"],
            1.1,
            "<=",
            "ms",
            rounds,
        ),
    ]


def download_rows(data: Path, work: Path, rounds: int) -> list[Row]:
    import download

    return list(download.rows(rounds))


PARTS: dict[str, Callable[[Path, Path, int], list[Row]]] = {
    "input": input_rows,
    "growth": growth_rows,
    "download": download_rows,
}


def compared(what: str, mine: float, peer: float, ratio: float, goal: float, way: str, unit: str, rounds: int) -> Row:
    met = ratio <= goal if way == "<=" else ratio >= goal
    return result_row(what, mine, peer, unit=unit, rounds=rounds, ratio=ratio, goal=goal, met=met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, folder, out = options.child
        figures = CHILDREN[name](Path(folder), Path(out))
        print(json.dumps(figures | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
        return
    data = shared_data()
    rows = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as work:
            rows += PARTS[name](data, Path(work), options.rounds)
    show(rows, f"{CORES} cores, images of {SIDE} pixels", options.json)


if __name__ == "__main__":
    main()
