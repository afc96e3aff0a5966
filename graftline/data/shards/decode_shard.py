"""Decodes raw samples to a shard: multithreaded decoding, hashing, and statistics in constant memory."""

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
from graftline.data.images.decode import UnreadableError, decode_image_and_side, read_header
from graftline.data.images.perceptual import perceptual_hash
from graftline.data.images.stored_images import ImageLayout
from graftline.data.shards.decoded_shard import PIXELS, PixelWriter, SampleRecord, ShardManifest, write_records
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text

MAX_ORIGINAL_SIDE = 64
"""Images of up to this many pixels a side keep their size if all have the same."""
DEFAULT_SIDE = 224
"""Side in pixels of all other images."""

_CHUNK = 32
_PIXEL_VALUES = np.arange(256)


def decode_shard(
    job: DecodeJob,
    location: DataLocation,
    *,
    out: Path,
    image_size: tuple[int, int] | None = None,
    hashed: bool = True,
) -> ShardManifest:
    """Decodes one shard of raw data.

    Args:
        job: The data and the shard.
        location: Location of the raw data.
        out: An empty folder for the shard.
        image_size: (H, W) that images must have, such as the target's or a ledger's; overrides the job's `image_size`.
        hashed: Whether the shard's files are hashed; not needed if this process reads them again.

    Raises:
        RefusedError: The data cannot be used for the task; the message gives the reason.
    """
    data = job.data.data
    data_format = formats.select_format(data.format, location)
    if data.columns != Columns() and not data_format.takes_columns:
        raise RefusedError(
            f"{location}: `columns` are set, but the data were detected as {data_format.name}, which has no columns; "
            "set format: table to read a table and see why it cannot be read"
        )
    with data_format.open(location) as opened:
        raw = select_classes(opened, location.uri, data.classes)
        check_dataset(raw, location.uri, needs_labels=job.data.labeled, task=job.data.task)
        samples = [sample for sample in raw.samples if _is_in_shard(job, sample.key)]
        raw.fetch(samples)
        shape = sample_shape(samples, job.data.image_size, image_size, data.min_side)
        layout = _choose_layout(len(raw.samples), shape, job.data.packed_above)
        events.log(
            f"{location}: {data_format.name}, {len(raw.classes)} classes, {len(raw.samples):,} images"
            + (f", {len(samples):,} of them in this shard" if job.shards > 1 else "")
            + f", stored as {shape[0]}x{shape[1]}x{shape[2]} {layout}"
        )
        _check_disk_space(out, len(samples), shape, layout)
        dropped = [fault for fault in raw.dropped if _is_in_shard(job, fault.file)]
        with PixelWriter(out / PIXELS, layout) as pixels:
            write_records(out, _decode_all(samples, pixels, shape, data, dropped))
        return manifest.write(
            out,
            ShardManifest(
                job=digest_text(job.data.to_json()),
                shard=job.shard,
                shards=job.shards,
                format=data_format.name,
                classes=raw.classes,
                shape=shape,
                layout=layout,
                dropped=sorted(dropped, key=lambda fault: fault.file),
                notes=raw.notes,
                warnings=raw.warnings,
            ),
            hashed=hashed,
        )


def sample_shape(
    samples: Sequence[RawSample], side: int | None, image_size: tuple[int, int] | None, min_side: int = 1
) -> tuple[int, int, int]:
    """Returns the shape that samples are stored as, from as few of their headers as needed.

    Args:
        samples: All samples.
        side: Requested side in pixels.
        image_size: (H, W) that they must have; overrides `side`.
        min_side: Smallest shorter side in pixels; smaller images are ignored.

    Returns:
        (C, H, W): C is 1 if all images are grayscale, else 3. H and W are as requested, else the images' own size if
        it is the same for all and at most 64, else 224.
    """
    requested = image_size or ((side, side) if side else None)
    original: tuple[int, int] | None = None
    has_color, is_resized = False, False
    for sample in samples:
        try:
            image = read_header(sample.load())
        except (UnreadableError, OSError):
            continue
        if min(image.height, image.width) < min_side:
            continue
        original = original or (image.height, image.width)
        is_resized = is_resized or original != (image.height, image.width) or max(original) > MAX_ORIGINAL_SIDE
        has_color = has_color or not image.is_gray
        if has_color and (is_resized or requested):
            break
    height, width = requested or ((DEFAULT_SIDE, DEFAULT_SIDE) if is_resized or original is None else original)
    return (3 if has_color else 1, height, width)


def _is_in_shard(job: DecodeJob, name: str) -> bool:
    """Whether a file belongs to this shard; it depends on the name, so a new file does not move others."""
    return zlib.crc32(name.encode(errors="surrogatepass")) % job.shards == job.shard


def _choose_layout(n_images: int, shape: tuple[int, int, int], packed_above: float) -> ImageLayout:
    """Returns the layout for three channels and the images of all shards, so that all shards choose the same."""
    return "jpeg" if 3 * n_images * shape[1] * shape[2] > packed_above * 1e9 else "raw"


def _check_disk_space(out: Path, n_images: int, shape: tuple[int, int, int], layout: ImageLayout) -> None:
    """Refuses a disk that is too small for the shard and the dataset, which has the same size."""
    size = 2 * n_images * int(np.prod(shape)) // (4 if layout == "jpeg" else 1)
    free = shutil.disk_usage(out).free
    if size > free:
        raise RefusedError(
            f"{out}: preprocessing needs {size:,} bytes of disk space, but {free:,} are free; free some space, set a "
            "smaller image_size, or choose a folder on a larger disk"
        )


def _decode_all(
    samples: Sequence[RawSample], pixels: PixelWriter, shape: tuple[int, int, int], data: Data, dropped: list[Dropped]
) -> Iterator[SampleRecord]:
    """Yields the records in the order of the samples; adds unreadable files to `dropped`."""
    pattern = re.compile(data.group_pattern) if data.group_pattern else None

    def group(sample: RawSample) -> str | None:
        match = pattern and (pattern.search(PurePosixPath(sample.key).name) or pattern.search(sample.key))
        return match[1] if match else sample.group

    def decode(sample: RawSample) -> SampleRecord | Dropped:
        try:
            image, side = decode_image_and_side(sample.load(), shape, data.min_side)
        except UnreadableError as error:
            return Dropped(file=sample.key, why=str(error))
        except OSError as error:
            return Dropped(file=sample.key, why=f"cannot be read: {error}")
        start, size = pixels.append(image)
        return SampleRecord(
            key=sample.key,
            label=sample.label,
            split=sample.split,
            group=group(sample),
            sha256=sample_digest(image),
            phash=perceptual_hash(image).hex() if data.near_duplicates else "",
            side=side,
            sums=channel_sums(image),
            start=start,
            size=size,
        )

    def decode_chunk(start: int) -> list[SampleRecord | Dropped]:
        return [decode(sample) for sample in samples[start : start + _CHUNK]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, results in enumerate(pool.map(decode_chunk, range(0, len(samples), _CHUNK)), start=1):
            for result in results:
                if isinstance(result, SampleRecord):
                    yield result
                else:
                    dropped.append(result)
            events.progress(min(number * _CHUNK, len(samples)), len(samples), "decoding")


def channel_sums(image: NDArray[np.uint8]) -> tuple[int, ...]:
    """Returns the sum of the values of each channel of an image (C, H, W), followed by the sums of their squares."""
    counts = np.array([Image.fromarray(channel).histogram() for channel in image])
    return (*(counts @ _PIXEL_VALUES).tolist(), *(counts @ _PIXEL_VALUES**2).tolist())
