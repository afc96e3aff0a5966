"""Decoded shards of all sources to their datasets, one folder each."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from graftline.config.jobs import PretrainJob, SourceJob
from graftline.data.dataset import DatasetManifest
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.merge import merge
from graftline.steps.preprocess import preprocess


def merge_sources(jobs: Sequence[SourceJob], parts: Sequence[Path], *, target: Path, out: Path) -> list[PretrainJob]:
    """Makes each source's dataset artifact; a source without data gets an empty one.

    Args:
        jobs: The sources.
        parts: All shards of all of them; those of other data are passed over.
        target: The target's dataset artifact.
        out: Becomes a folder with one dataset artifact a source, named by `events.file_name` of its label; an earlier
            try is replaced.

    Returns:
        What pretrains each source, its `inputs` the digest of its dataset.

    Raises:
        RefusedError: A shard is missing, shards are not of the target's size, or the data cannot become a task.
    """
    shutil.rmtree(out, ignore_errors=True)
    wanted = manifest.read(target, DatasetManifest).image_shape[1:]
    made = []
    for job in jobs:
        folder = out / events.file_name(job.preprocess.label)
        if job.preprocess.data.data is None:
            preprocess(job.preprocess, out=folder, target=target)
        else:
            found = merge(job.preprocess, parts, out=folder, target=target).image_shape[1:]
            if found != wanted:
                raise RefusedError(
                    f"{job.preprocess.data.data}: decoded at {found[0]}x{found[1]}, but the target at "
                    f"{wanted[0]}x{wanted[1]}, the size of its ledger; set image_size to that"
                )
        made.append(job.pretrain.model_copy(update={"inputs": manifest.identity(folder)}))
    return made
