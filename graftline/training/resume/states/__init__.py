"""States of trainings on disk and in buckets: immutable, checked, leased, pruned."""

from graftline.training.resume.states.store import at

__all__ = ["at"]
