"""Jobs of the steps that read raw data."""

from graftline.config import DEFAULT_TASK, Data, TaskName
from graftline.config.jobs.base import Job


class PreprocessJob(Job):
    """Preprocesses raw data to a dataset artifact; without a location, to an empty one of the target's shape."""

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
    """Whether data without labels are refused."""
    target_share: float | None = None
    """For a source: share of the target's training split to use instead of data of its own."""
    task: TaskName = DEFAULT_TASK
    """Task of the labels."""


class DecodeJob(Job):
    """Decodes one shard of a task's raw data."""

    data: PreprocessJob
    shard: int = 0
    shards: int = 1
    name: str = ""
    """Name in logs, such as `target-3of8`; for a source its label."""
