"""Merges the decoded shards of all sources into one dataset per source."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from graftline.config.jobs import PretrainJob, SourceJob
from graftline.data.dataset import DatasetManifest
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.merge import merge
from graftline.steps.preprocess import preprocess


def merge_sources(jobs: Sequence[SourceJob], shards: Sequence[Path], *, target: Path, out: Path) -> list[PretrainJob]:
    """Creates the dataset artifact of each source, an empty one if the source has no data.

    Args:
        jobs: The jobs of the sources.
        shards: All shards of all sources; shards of other data are ignored.
        target: The target's dataset artifact.
        out: Folder for one dataset artifact per source, named `events.file_name` of its label; the output of an earlier
            attempt is replaced.

    Returns:
        The pretraining job of each source, with the identity of its dataset as `inputs`.

    Raises:
        RefusedError: A shard is missing, shards differ from the target's size, or the data cannot be used for the task.
    """
    shutil.rmtree(out, ignore_errors=True)
    height, width = manifest.read(target, DatasetManifest).image_shape[1:]
    pretrain_jobs = []
    for job in jobs:
        folder = out / events.file_name(job.preprocess.label)
        if job.preprocess.data.data is None:
            preprocess(job.preprocess, out=folder, target=target)
        else:
            size = merge(job.preprocess, shards, out=folder, target=target).image_shape[1:]
            if size != (height, width):
                raise RefusedError(
                    f"{job.preprocess.data.data}: decoded at {size[0]}x{size[1]}, but the target's ledger was made at "
                    f"{height}x{width}; set image_size to that"
                )
        pretrain_jobs.append(job.pretrain.model_copy(update={"inputs": manifest.identity(folder)}))
    return pretrain_jobs
