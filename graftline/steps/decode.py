"""One shard of raw data to decoded samples; `merge` makes a dataset of all shards."""

from pathlib import Path

from graftline.config.jobs import DecodeJob
from graftline.data.dataset import DatasetManifest
from graftline.data.formats.location import locate_data
from graftline.data.shards.decoding import decode_part
from graftline.data.shards.part import PartManifest
from graftline.data.shards.scratch import scratch
from graftline.data.splits.ledger_file import earlier_ledger
from graftline.runtime import manifest


def decode(job: DecodeJob, *, out: Path, target: Path | None = None, travels: bool = True) -> PartManifest:
    """Decodes a shard.

    Args:
        job: The data, and which shard of how many.
        out: Folder for the part; an earlier try is replaced.
        target: The target's dataset artifact where a source is decoded: its height and width are taken.
        travels: Whether the part is read elsewhere, so that its files are hashed.

    Raises:
        RefusedError: The data cannot become a task; the message says why.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / manifest.NAME).unlink(missing_ok=True)
    place = str(job.data.data.data)
    with scratch(f"{place} {job.shard}/{job.shards}", out) as folder:
        side = manifest.read(target, DatasetManifest).image_shape[1:] if target else None
        if side is None and (earlier := earlier_ledger(job.data.data.ledger, folder)):
            side = earlier.image_size
        there = locate_data(place, folder, job.data.data.columns, task=job.data.task)
        return decode_part(job, there, out=out, side=side, travels=travels)
