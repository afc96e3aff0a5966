"""Decodes and splits raw data and writes a dataset artifact with its data report, in constant memory."""

import shutil
from pathlib import Path

from graftline.config.jobs import DecodeJob, PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest
from graftline.data.shards.merge_shards import TargetInfo, read_target_info
from graftline.data.splits.ledger import Ledger
from graftline.data.target_share import write_target_share
from graftline.report.data.page import render_data_page
from graftline.runtime.errors import RefusedError
from graftline.steps.decode import decode
from graftline.steps.merge import merge


def preprocess(job: PreprocessJob, *, out: Path, target: Path | None = None) -> DatasetManifest:
    """Creates a dataset artifact.

    Args:
        job: The preprocessing job, with the data and the amount to use, or a fraction of the target's training split;
            without either, an empty dataset of the target's shape is written.
        out: Folder for the artifact; the output of an earlier attempt is replaced.
        target: The target's dataset artifact, if a source is preprocessed: images are stored at its height and width,
            source images that also occur in its test split are excluded, and no test split is drawn.

    Returns:
        The manifest.

    Raises:
        RefusedError: The data cannot be used for the task; the message gives the reason.
    """
    if job.target_share is not None:
        if target is None:
            raise RefusedError(f"{job.label}: target_share requires a target dataset; pass --target")
        job = job.model_copy(update={"data": job.data.model_copy(update={"data": "target_share"})})  # for messages
    if job.data.data is None:
        return _write_empty(job, out, read_target_info(target) if target else None)
    dataset.clear(out)
    shard = out.with_name(f".{out.name}.part")
    shutil.rmtree(shard, ignore_errors=True)
    try:
        if job.target_share is not None and target is not None:
            shard.mkdir(parents=True)
            write_target_share(job, target=target, out=shard)
        else:
            decode(DecodeJob(data=job), out=shard, target=target, hashed=False)
        return merge(job, [shard], out=out, target=target)
    finally:
        shutil.rmtree(shard, ignore_errors=True)


def _write_empty(job: PreprocessJob, out: Path, target: TargetInfo | None) -> DatasetManifest:
    if target is None:
        raise RefusedError(f"{job.label}: no data and no target are given; an empty dataset needs the target's shape")
    dataset.clear(out)
    ledger = Ledger(seed=job.seed, image_size=target.shape[1:], entries={})
    empty = DatasetManifest(
        label=job.label,
        format="none",
        classes=[],
        sizes=dict.fromkeys(SPLIT_NAMES, 0),
        image_shape=target.shape,
        mean=[0.0] * target.shape[0],
        std=[1.0] * target.shape[0],
        dropped=[],
        seed=job.seed,
        ledger=ledger.digest,
        fingerprint=job.fingerprint,
        digest=dataset.content_digest([]),
        notes=["this source has no data: its weights are used unchanged, and their training data are unknown here"],
    )
    return dataset.write(out, empty, [], [], ledger.to_json(), render_data_page)
