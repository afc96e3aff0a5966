"""Defines the jobs of the steps that read raw data."""

from graftline.config import DEFAULT_TASK, Data, TaskName
from graftline.config.jobs.base import Job


class PreprocessJob(Job):
    """Job of `preprocess`, which converts raw data to a dataset artifact (empty if `data` has no location)."""

    label: str
    data: Data
    image_size: int | None
    seed: int
    fingerprint: str
    ledger_fingerprint: str = ""
    """Fingerprint of the earlier split ledger, if any."""
    packed_above: float = 16.0
    """Size of the raw pixels in gigabytes above which images are stored as JPEG."""
    labeled: bool = True
    """Whether to raise an error if the data have no labels."""
    target_share: float | None = None
    """For a source, share of the target's training split that is used as source data."""
    task: TaskName = DEFAULT_TASK
    """Task of the labels."""


class DecodeJob(Job):
    """Job that decodes one shard of the raw data of the target or of a source."""

    data: PreprocessJob
    shard: int = 0
    shards: int = 1
    name: str = ""
    """Name in logs, such as `target-3of8`; for a source, its label replaces `target`."""
