"""Where a user's cache lies: finished steps, downloads that another try goes on with, states of trainings under way."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = "GRAFTLINE_CACHE"
CHECKPOINTS = "GRAFTLINE_CHECKPOINTS"
"""Environment variable: where trainings keep their states unless the config says."""
NOWHERE = "none"
STALE = 7 * 86_400.0
"""Seconds after which a training that nobody went on with is swept out."""


def cache_home() -> Path:
    """Returns `$GRAFTLINE_CACHE`, else `graftline` in the user's cache folder; perhaps not there yet."""
    named = os.environ.get(CACHE)
    return (
        Path(named).absolute()
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "graftline"
    )


@contextmanager
def keeping_states() -> Iterator[None]:
    """Inside, trainings of this process and its children keep their states in the cache, unless told otherwise."""
    if CHECKPOINTS in os.environ:
        yield
        return
    place = cache_home() / "checkpoints"
    _sweep(place)
    os.environ[CHECKPOINTS] = str(place)
    try:
        yield
    finally:
        os.environ.pop(CHECKPOINTS, None)


def _sweep(root: Path) -> None:
    for folder in root.iterdir() if root.is_dir() else ():
        newest = max((path.stat().st_mtime for path in [folder, *folder.glob("*")]), default=0.0)
        if time.time() - newest > STALE:
            shutil.rmtree(folder, ignore_errors=True)
