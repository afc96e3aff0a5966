"""Merges decoded shards into one dataset artifact, which is bitwise identical for any number of shards."""

from collections.abc import Sequence
from pathlib import Path

from graftline.config.jobs import PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.data.shards.download_folder import download_folder
from graftline.data.shards.merge_shards import merge_shards, read_target_info
from graftline.data.splits.ledger import read_previous_ledger
from graftline.report.data.page import render_data_page


def merge(job: PreprocessJob, shards: Sequence[Path], *, out: Path, target: Path | None = None) -> DatasetManifest:
    """Creates a dataset artifact from decoded shards.

    Args:
        job: The preprocessing job.
        shards: All shards; shards of other data are ignored.
        out: Folder for the artifact; the output of an earlier attempt is replaced.
        target: The target's dataset artifact, if a source is merged; see `preprocess`.

    Raises:
        RefusedError: A shard is missing, or the data cannot be used for the task; the message gives the reason.
    """
    dataset.clear(out)
    with download_folder(f"ledger {job.data.ledger}", out) as folder:
        ledger = read_previous_ledger(job.data.ledger, folder)
    target_info = read_target_info(target) if target else None
    return merge_shards(job, shards, out=out, target=target_info, ledger=ledger, page=render_data_page)
