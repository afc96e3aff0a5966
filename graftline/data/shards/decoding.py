"""Samples to a part: every core decodes, hashes and measures; memory stays flat."""

import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from graftline.config import Columns, Data
from graftline.config.jobs import DecodeJob
from graftline.data import formats
from graftline.data.dataset import Dropped, sample_digest
from graftline.data.formats.checks import check_dataset, select_classes
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawSample
from graftline.data.images.decode import UnreadableError, header, sized
from graftline.data.images.perceptual import perceptual_hash
from graftline.data.images.stored_images import ImageLayout
from graftline.data.shards.part import PIXELS, PartManifest, Pixels, Record, write_records
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text

SMALL = 64
"""Images up to this side keep their own size where all agree."""
USUAL = 224
_CHUNK = 32
_VALUES = np.arange(256)


def decode_part(
    job: DecodeJob, place: DataLocation, *, out: Path, side: tuple[int, int] | None = None, travels: bool = True
) -> PartManifest:
    """Decodes one shard of raw data.

    Args:
        job: What to take.
        place: Where the data lie.
        out: An empty folder for the part.
        side: (H, W) that images must have, the target's or a ledger's; goes before the job's `image_size`.
        travels: Whether the part is read elsewhere, so that its files are hashed.

    Raises:
        RefusedError: The data cannot become a task; the message says why.
    """
    data = job.data.data
    known = formats.select_format(data.format, place)
    if data.columns != Columns() and not known.takes_columns:
        raise RefusedError(
            f"{place}: `columns` are set, but these data were found to be {known.name}, which has none; "
            "set format: table to read a table, or say why it cannot be read"
        )
    with known.open(place) as opened:
        raw = select_classes(opened, place.uri, data.classes)
        check_dataset(raw, place.uri, needs_labels=job.data.labelled, task=job.data.task)
        mine = [sample for sample in raw.samples if _mine(job, sample.key)]
        raw.fetch(mine)
        shape = sample_shape(mine, job.data.image_size, side, data.min_side)
        layout = _layout(len(raw.samples), shape, job.data.packed_above)
        events.log(
            f"{place}: {known.name}, {len(raw.classes)} classes, {len(raw.samples):,} images"
            + (f", {len(mine):,} of them in this shard" if job.shards > 1 else "")
            + f", stored as {shape[0]}x{shape[1]}x{shape[2]} {layout}"
        )
        _room(out, len(mine), shape, layout)
        dropped = [fault for fault in raw.dropped if _mine(job, fault.file)]
        with Pixels(out / PIXELS, layout) as pixels:
            write_records(out, _decoded(mine, pixels, shape, data, dropped))
        return manifest.write(
            out,
            PartManifest(
                job=digest_text(job.data.to_json()),
                shard=job.shard,
                shards=job.shards,
                format=known.name,
                classes=raw.classes,
                shape=shape,
                layout=layout,
                dropped=sorted(dropped, key=lambda fault: fault.file),
                notes=raw.notes,
                warnings=raw.warnings,
            ),
            hashed=travels,
        )


def sample_shape(
    samples: Sequence[RawSample], size: int | None, side: tuple[int, int] | None, least: int = 1
) -> tuple[int, int, int]:
    """Decides what samples are stored as, from their headers; stops at the first that settle it.

    Args:
        samples: All of them.
        size: Side in pixels that was asked for.
        side: (H, W) that they must have; goes before `size`.
        least: Pixels that a shorter side must have; images that are too small do not count.

    Returns:
        (C, H, W): C is 1 where all are grey, else 3; H and W are given, else the images' own where all agree and are at
        most 64, else 224.
    """
    wanted = side or ((size, size) if size else None)
    own: tuple[int, int] | None = None
    colour, differ = False, False
    for sample in samples:
        try:
            found = header(sample.load())
        except (UnreadableError, OSError):
            continue
        if min(found.height, found.width) < least:
            continue
        own = own or (found.height, found.width)
        differ = differ or own != (found.height, found.width) or max(own) > SMALL
        colour = colour or not found.grey
        if colour and (differ or wanted):
            break
    height, width = wanted or ((USUAL, USUAL) if differ or own is None else own)
    return (3 if colour else 1, height, width)


def _mine(job: DecodeJob, name: str) -> bool:
    """Whether a file belongs to this shard: by its name, so that a new file moves no other."""
    return zlib.crc32(name.encode(errors="surrogatepass")) % job.shards == job.shard


def _layout(count: int, shape: tuple[int, int, int], packed_above: float) -> ImageLayout:
    """Counts three channels and all shards, so that every shard decides alike."""
    return "jpeg" if 3 * count * shape[1] * shape[2] > packed_above * 1e9 else "raw"


def _room(out: Path, count: int, shape: tuple[int, int, int], layout: ImageLayout) -> None:
    """Refuses now rather than half-way: the part takes this much of the disk, and the dataset as much again."""
    size = 2 * count * int(np.prod(shape)) // (4 if layout == "jpeg" else 1)
    free = shutil.disk_usage(out).free
    if size > free:
        raise RefusedError(
            f"{out}: preprocessing takes {size:,} bytes of disk, {free:,} are free; make room, set a "
            "smaller image_size, or give a folder on a larger disk"
        )


def _decoded(
    samples: Sequence[RawSample], pixels: Pixels, shape: tuple[int, int, int], data: Data, dropped: list[Dropped]
) -> Iterator[Record]:
    """Yields the records in the order of the samples; what cannot be read goes to `dropped`."""
    pattern = re.compile(data.group_pattern) if data.group_pattern else None

    def group(sample: RawSample) -> str | None:
        found = pattern and (pattern.search(PurePosixPath(sample.key).name) or pattern.search(sample.key))
        return found[1] if found else sample.group

    def one(sample: RawSample) -> Record | Dropped:
        try:
            image, side = sized(sample.load(), shape, data.min_side)
        except UnreadableError as error:
            return Dropped(file=sample.key, why=str(error))
        except OSError as error:
            return Dropped(file=sample.key, why=f"cannot be read: {error}")
        start, size = pixels.put(image)
        return Record(
            key=sample.key,
            label=sample.label,
            split=sample.split,
            group=group(sample),
            sha256=sample_digest(image),
            phash=perceptual_hash(image).hex() if data.near_duplicates else "",
            side=side,
            sums=sums(image),
            start=start,
            size=size,
        )

    def chunk(start: int) -> list[Record | Dropped]:
        return [one(sample) for sample in samples[start : start + _CHUNK]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, found in enumerate(pool.map(chunk, range(0, len(samples), _CHUNK)), start=1):
            for result in found:
                if isinstance(result, Record):
                    yield result
                else:
                    dropped.append(result)
            events.progress(min(number * _CHUNK, len(samples)), len(samples), "decoding")


def sums(image: NDArray[np.uint8]) -> tuple[int, ...]:
    """Per channel of an image (C, H, W) the sum of its values, then per channel the sum of their squares."""
    counts = np.array([Image.fromarray(channel).histogram() for channel in image])
    return (*(counts @ _VALUES).tolist(), *(counts @ _VALUES**2).tolist())
