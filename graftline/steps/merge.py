"""Decoded shards to one dataset artifact, the same bit for bit whatever their number."""

from collections.abc import Sequence
from pathlib import Path

from graftline.config.jobs import PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.data.shards import merging
from graftline.data.shards.scratch import scratch
from graftline.data.splits.ledger_file import earlier_ledger
from graftline.report.data.page import page


def merge(job: PreprocessJob, parts: Sequence[Path], *, out: Path, target: Path | None = None) -> DatasetManifest:
    """Makes a dataset artifact of decoded shards.

    Args:
        job: The data and how much of it to take.
        parts: All shards; those of other data are passed over.
        out: Folder for the artifact; an earlier try is replaced.
        target: The target's dataset artifact where a source is merged; see `preprocess`.

    Raises:
        RefusedError: A shard is missing, or the data cannot become a task; the message says why.
    """
    dataset.clear(out)
    with scratch(f"ledger {job.data.ledger}", out) as folder:
        earlier = earlier_ledger(job.data.ledger, folder)
    known = merging.target_of(target) if target else None
    return merging.merge(job, parts, out=out, target=known, ledger=earlier, page=page)
