"""All decoded shards of one task, read and checked together."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from graftline.config.jobs import PreprocessJob
from graftline.data.dataset import Dropped
from graftline.data.shards.decoded_shard import PIXELS, SampleRecord, ShardManifest, read_records
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text

_EXAMPLES = 5  # dropped files in the error
_LOGGED = 20  # dropped files


@dataclass(frozen=True)
class ShardSet:
    """All decoded shards of one task."""

    folders: list[Path]
    manifests: list[ShardManifest]
    records: list[tuple[int, SampleRecord]]
    """Index of the shard, and record; sorted by key."""
    shape: tuple[int, int, int]
    """(C, H, W) of the dataset."""
    dropped: list[Dropped]

    def read_images(self, order: Sequence[tuple[int, SampleRecord]]) -> Iterator[bytes]:
        """Yields images as the dataset stores them, in the given order."""
        with ExitStack() as stack:
            files = [stack.enter_context((folder / PIXELS).open("rb")) for folder in self.folders]
            for n_done, (shard, record) in enumerate(order, start=1):
                packed = os.pread(files[shard].fileno(), record.size, record.start)
                if self.manifests[shard].layout == "raw" and self.manifests[shard].shape[0] < self.shape[0]:
                    packed *= self.shape[0]  # a grayscale image has equal channels
                yield packed
                if n_done % 256 == 0:
                    events.progress(n_done, len(order), "writing")


def read_shards(job: PreprocessJob, folders: Sequence[Path]) -> ShardSet:
    """Reads the shards of a job and checks that they are complete and consistent.

    Args:
        job: The preprocessing job.
        folders: Decoded shards; those of other jobs are ignored.

    Raises:
        RefusedError: A shard is missing or saw different data, or too many files could not be used.
    """
    location, job_digest = str(job.data.data), digest_text(job.to_json())
    shards = [(manifest.read(folder, ShardManifest), folder) for folder in folders]
    shards = sorted((pair for pair in shards if pair[0].job == job_digest), key=lambda pair: pair[0].shard)
    if not shards:
        raise RefusedError(f"{location}: none of the decoded shards belongs to it; run `decode` with the same job")
    manifests = [shard for shard, _ in shards]
    first = manifests[0]
    if missing := sorted(set(range(first.shards)) - {shard.shard for shard in manifests}):
        raise RefusedError(
            f"{location}: of {first.shards} shards, {missing} (counted from 0) are missing; decode them first"
        )
    for other in manifests[1:]:
        if _content(other) != _content(first):
            raise RefusedError(
                f"{location}: shards {first.shard} and {other.shard} saw different data, so the data changed during "
                "decoding; run it again"
            )
    records = [(index, record) for index, (_, folder) in enumerate(shards) for record in read_records(folder)]
    records.sort(key=lambda pair: pair[1].key)
    dropped = sorted((fault for shard in manifests for fault in shard.dropped), key=lambda fault: fault.file)
    _check_dropped(location, dropped, len(records), job.data.max_dropped)
    shape = (max(shard.shape[0] for shard in manifests), *first.shape[1:])
    return ShardSet([folder for _, folder in shards], manifests, records, shape, dropped)


def _content(shard: ShardManifest) -> tuple[object, ...]:
    return shard.classes, shard.format, shard.layout, shard.shape[1:]


def _check_dropped(location: str, dropped: Sequence[Dropped], n_records: int, max_dropped: float) -> None:
    total = len(dropped) + n_records
    if len(dropped) > max_dropped * total or len(dropped) == total:
        examples = "; ".join(f"{fault.file} ({fault.why})" for fault in dropped[:_EXAMPLES])
        raise RefusedError(
            f"{location}: {len(dropped):,} of {total:,} files cannot be used, more than max_dropped {max_dropped:g} "
            f"allows: {examples}{'; ...' if len(dropped) > _EXAMPLES else ''}; fix or remove them, or raise max_dropped"
        )
    for fault in dropped[:_LOGGED]:
        events.log(f"dropped {fault.file!r}: {fault.why}")
