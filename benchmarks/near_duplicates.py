"""Distances of perceptual hashes between changed copies and between different images, and the time of the search.

    .venv/bin/python benchmarks/near_duplicates.py [--data ../shared/data] [--copies 200] [--json FILE]

For each dataset: its images, pairs within the limit for their size, images in clusters, the largest cluster, and for
each change the share of changed copies that are found. Pairs include true near duplicates. Then the seconds of the
search among random hashes with 1,000 planted pairs.
"""

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from results import Row, result_row
from rich.console import Console
from rich.table import Table

from graftline.data.duplicates.clusters import (
    MAX_DISTANCE,
    SMALL_MAX_DISTANCE,
    default_max_distance,
    find_clusters,
    find_near_pairs,
)
from graftline.data.formats import select_format
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawSample
from graftline.data.images.decode import UnreadableError, decode_image
from graftline.data.images.perceptual import HASH_BYTES, perceptual_hash

SHAPES = {
    "mnist": (1, 28, 28),
    "usps": (1, 16, 16),
    "cifar10_small.zip": (3, 32, 32),
    "hymenoptera.zip": (3, 224, 224),
    "weather4.zip": (3, 224, 224),
    "hurricane_damage.zip": (3, 224, 224),
}
WITHIN = (8, 16, 24, 31, 40, 48)
SEARCHED = (60_000, 1_000_000)
Change = Callable[[Image.Image], Image.Image]


def encoded(image: Image.Image, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, **{"format": "PNG", **options})  # type: ignore[arg-type]
    return file


def jpeg(quality: int) -> Change:
    return lambda image: Image.open(encoded(image, format="JPEG", quality=quality))


def scaled(factor: float) -> Change:
    return lambda image: image.resize([max(1, int(side * factor)) for side in image.size], Image.Resampling.LANCZOS)


def cut(share: float) -> Change:
    def cropped(image: Image.Image) -> Image.Image:
        x, y = (max(1, round(side * share / 2)) for side in image.size)
        return image.crop((x, y, image.width - x, image.height - y))

    return cropped


CHANGES: dict[str, Change] = {
    "JPEG 90": jpeg(90),
    "JPEG 75": jpeg(75),
    "JPEG 50": jpeg(50),
    "JPEG 30": jpeg(30),
    "half": scaled(0.5),
    "quarter": scaled(0.25),
    "half, JPEG 50": lambda image: jpeg(50)(scaled(0.5)(image)),
    "light x0.8": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "light x1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "contrast x0.9": lambda image: ImageEnhance.Contrast(image).enhance(0.9),
    "contrast x1.1": lambda image: ImageEnhance.Contrast(image).enhance(1.1),
    "crop 2%": cut(0.02),
    "crop 5%": cut(0.05),
}


def picture(sample: RawSample) -> Image.Image:
    source = sample.load()
    if isinstance(source, np.ndarray):
        return Image.fromarray(source[0] if len(source) == 1 else np.ascontiguousarray(source.transpose(1, 2, 0)))
    image = Image.open(source)
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def rows_of(hashes: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, HASH_BYTES)


def measured(path: Path, shape: tuple[int, int, int], copies: int) -> dict[str, object]:
    limit = default_max_distance(*shape[1:])
    place = DataLocation(str(path), path)
    with select_format("auto", place).open(place) as raw, ThreadPoolExecutor() as pool:

        def stored(sample: RawSample) -> NDArray[np.uint8] | None:
            try:
                return decode_image(sample.load(), shape)
            except UnreadableError:
                return None

        def distances(sample: RawSample) -> list[int]:
            original = picture(sample)
            changed = [perceptual_hash(decode_image(encoded(change(original)), shape)) for change in CHANGES.values()]
            first = np.frombuffer(perceptual_hash(decode_image(sample.load(), shape)), np.uint8)
            return [int(np.bitwise_count(first ^ row).sum()) for row in rows_of(changed)]

        def hashed(sample: RawSample) -> bytes:
            image = stored(sample)
            return b"" if image is None else perceptual_hash(image)

        some = [raw.samples[at] for at in np.linspace(0, len(raw.samples) - 1, copies, dtype=int)]
        some = [sample for sample in some if stored(sample) is not None]
        apart = np.array(list(pool.map(distances, some)))
        found = rows_of(list(pool.map(hashed, raw.samples)))
        seconds = []
        for image in map(stored, some):
            began = time.perf_counter()
            perceptual_hash(image)  # type: ignore[arg-type]
            seconds.append(time.perf_counter() - began)
    pairs = find_near_pairs(found, max(WITHIN if shape[1] > 64 else (limit,)))
    between = np.bitwise_count(found[pairs[:, 0]] ^ found[pairs[:, 1]]).sum(axis=1)
    sizes = np.bincount(find_clusters(found, limit))
    return {
        "set": path.name,
        "images": len(found),
        "side": shape[1],
        "limit": limit,
        "pairs": int((between <= limit).sum()),
        "in clusters": int(sizes[sizes > 1].sum()),
        "largest": int(sizes.max()),
        "ms a hash": round(1000 * statistics.median(seconds), 3),
        **{name: f"{share:.0%}" for name, share in zip(CHANGES, (apart <= limit).mean(axis=0), strict=True)},
        **{f"pairs within {one}": int((between <= one).sum()) for one in WITHIN if one <= limit or shape[1] > 64},
    }


def searched(count: int, limit: int) -> dict[str, object]:
    random = np.random.default_rng(count)
    found = random.integers(0, 256, (count, HASH_BYTES), np.uint8)
    bits = np.unpackbits(found[:1000], axis=1)
    for row in bits:
        row[random.choice(256, limit, replace=False)] ^= 1
    found[-1000:] = np.packbits(bits, axis=1)
    began = time.perf_counter()
    pairs = find_near_pairs(found, limit)
    middle = time.perf_counter()
    find_clusters(found, limit)
    assert pairs.tolist() == [[index, count - 1000 + index] for index in range(1000)]
    return {
        "hashes": count,
        "limit": limit,
        "find_near_pairs s": round(middle - began, 2),
        "clusters s": round(time.perf_counter() - middle, 2),
    }


def show(rows: list[dict[str, object]]) -> None:
    table = Table("", *(str(next(iter(row.values()))) for row in rows))
    for name in dict.fromkeys(name for row in rows for name in list(row)[1:]):
        table.add_row(name, *(str(row.get(name, "")) for row in rows))
    Console().print(table)


def flat(results: list[dict[str, object]], rounds: int) -> list[Row]:
    """Returns a row for each number of each column."""
    rows = []
    for result in results:
        label = " ".join(str(value) for key, value in result.items() if key in ("set", "hashes", "limit"))
        for name, value in result.items():
            unit = "%" if isinstance(value, str) else "s" if name.endswith(" s") else ""
            if name not in ("set", "hashes", "limit"):
                rows.append(result_row(f"{label}: {name}", float(str(value).rstrip("%")), unit=unit, rounds=rounds))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sets = [measured(options.data / name, shape, options.copies) for name, shape in SHAPES.items()]
    show(sets)
    times = [searched(count, limit) for count in SEARCHED for limit in (SMALL_MAX_DISTANCE, MAX_DISTANCE)]
    show(times)
    if options.json:
        options.json.write_text(json.dumps(flat(sets, options.copies) + flat(times, 1), indent=1) + "\n")


if __name__ == "__main__":
    main()
