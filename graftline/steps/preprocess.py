"""Raw data to a dataset artifact: found, decoded once, split, written, described; memory stays flat."""

import shutil
from pathlib import Path

from graftline.config.jobs import DecodeJob, PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest
from graftline.data.shards.merging import Target, target_of
from graftline.data.splits.ledger import Ledger
from graftline.data.target_share import share_part
from graftline.report.data.page import page
from graftline.runtime.errors import RefusedError
from graftline.steps.decode import decode
from graftline.steps.merge import merge


def preprocess(job: PreprocessJob, *, out: Path, target: Path | None = None) -> DatasetManifest:
    """Makes a dataset artifact.

    Args:
        job: The data and how much of it to take, or a share of the target's training split; without either, an empty
            dataset of the target's shape is written.
        out: Folder for the artifact; what an earlier try left there is replaced.
        target: The target's dataset artifact where a source is preprocessed: images are stored at its height and
            width, those found in its test split are left out, and no test split is drawn.

    Returns:
        The manifest.

    Raises:
        RefusedError: The data cannot become a task; the message says why.
    """
    if job.target_share is not None:
        if target is None:
            raise RefusedError(f"{job.label}: target_share, and no target to take it from")
        job = job.model_copy(update={"data": job.data.model_copy(update={"data": "target_share"})})  # for messages
    if job.data.data is None:
        return _empty(job, out, target_of(target) if target else None)
    dataset.clear(out)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        if job.target_share is not None and target is not None:
            part.mkdir(parents=True)
            share_part(job, target=target, out=part)
            return merge(job, [part], out=out, target=target)
        decode(DecodeJob(data=job), out=part, target=target, travels=False)
        return merge(job, [part], out=out, target=target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _empty(job: PreprocessJob, out: Path, target: Target | None) -> DatasetManifest:
    if target is None:
        raise RefusedError(f"{job.label}: no data is given, and no target whose shape an empty dataset could take")
    dataset.clear(out)
    nothing = Ledger(seed=job.seed, image_size=target.shape[1:], entries={})
    whole = DatasetManifest(
        label=job.label,
        format="none",
        classes=[],
        sizes=dict.fromkeys(SPLIT_NAMES, 0),
        image_shape=target.shape,
        mean=[0.0] * target.shape[0],
        std=[1.0] * target.shape[0],
        dropped=[],
        seed=job.seed,
        ledger=nothing.digest,
        fingerprint=job.fingerprint,
        digest=dataset.content_digest([]),
        notes=["no data of its own: its weights come as they are, and what they were trained on is not known here"],
    )
    return dataset.write(out, whole, [], [], nothing.to_json(), page)
