"""What all jobs share."""

from graftline.config import Settings
from graftline.runtime.manifest import canonical_json


class Job(Settings):
    """Base of all jobs."""

    def to_json(self) -> str:
        """The job as canonical JSON: equal jobs are equal strings."""
        return canonical_json(self.model_dump(mode="json"))
