"""Training states on disk and in buckets: immutable, verified, locked by one writer, pruned."""

from graftline.training.resume.states.store import open_directory

__all__ = ["open_directory"]
