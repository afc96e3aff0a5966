"""Decodes one shard of raw data; `merge` combines all shards into a dataset."""

from pathlib import Path

from graftline.config.jobs import DecodeJob
from graftline.data.dataset import DatasetManifest
from graftline.data.formats.location import locate_data
from graftline.data.shards.decode_shard import decode_shard
from graftline.data.shards.decoded_shard import ShardManifest
from graftline.data.shards.download_folder import download_folder
from graftline.data.splits.ledger import read_previous_ledger
from graftline.runtime import manifest


def decode(job: DecodeJob, *, out: Path, target: Path | None = None, hashed: bool = True) -> ShardManifest:
    """Decodes a shard of raw data.

    Args:
        job: The decode job, with the data, the index of the shard, and the number of shards.
        out: Folder for the shard; the output of an earlier attempt is replaced.
        target: The target's dataset artifact, if a source is decoded; images are resized to its height and width.
        hashed: Whether the shard's files are hashed; not needed if this process reads them again.

    Raises:
        RefusedError: The data cannot be used for the task; the message gives the reason.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / manifest.NAME).unlink(missing_ok=True)
    data, uri = job.data.data, str(job.data.data.data)
    with download_folder(f"{uri} {job.shard}/{job.shards}", out) as folder:
        image_size = manifest.read(target, DatasetManifest).image_shape[1:] if target else None
        if image_size is None and (ledger := read_previous_ledger(data.ledger, folder)):
            image_size = ledger.image_size
        location = locate_data(uri, folder, data.columns, task=job.data.task)
        return decode_shard(job, location, out=out, image_size=image_size, hashed=hashed)
