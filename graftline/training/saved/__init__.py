"""States of trainings on disk and in buckets: immutable, checked, leased, pruned."""

from graftline.training.saved.place import at

__all__ = ["at"]
