"""Defines the base class of all jobs."""

from graftline.config import Settings
from graftline.runtime.manifest import canonical_json


class Job(Settings):
    """Input of one step: the part of the config that it needs."""

    def to_json(self) -> str:
        """Returns the job as canonical JSON; equal jobs return equal strings."""
        return canonical_json(self.model_dump(mode="json"))
