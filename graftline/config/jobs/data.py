"""What the steps that read raw data are told."""

from graftline.config import DEFAULT_TASK, Data, TaskName
from graftline.config.jobs.base import Job


class PreprocessJob(Job):
    """Raw data to one dataset artifact. `data` without a place makes an empty one of the target's shape."""

    label: str
    data: Data
    image_size: int | None
    seed: int
    fingerprint: str
    ledger_fingerprint: str = ""
    """Of the earlier split ledger, where one is given."""
    packed_above: float = 16.0
    """Gigabytes of raw pixels above which images are stored as JPEG."""
    labelled: bool = True
    """Whether data without labels are refused."""
    target_share: float | None = None
    """A source's: this share of the target's training split instead of data of its own."""
    task: TaskName = DEFAULT_TASK
    """What the labels are."""


class DecodeJob(Job):
    """One shard of a task's raw data to decoded samples."""

    data: PreprocessJob
    shard: int = 0
    shards: int = 1
    name: str = ""
    """For logs, such as `target-3of8`; a source goes by its label."""
