"""Location of the user's cache of completed steps, partial downloads and states of running trainings."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CACHE = "GRAFTLINE_CACHE"
"""Environment variable with the cache folder."""
CHECKPOINTS = "GRAFTLINE_CHECKPOINTS"
"""Environment variable with the folder where trainings save their states if the config does not set one."""
NOWHERE = "none"
"""Value of `checkpoint_uri` and of the environment variable with which trainings save no state."""
STALE = 7 * 86_400.0
"""Age in seconds after which the saved state of a training that was not resumed is deleted (7 days)."""


def cache_home() -> Path:
    """Returns `$GRAFTLINE_CACHE` if set, otherwise `graftline` in the user's cache folder; the folder may not exist."""
    named = os.environ.get(CACHE)
    return (
        Path(named).absolute()
        if named
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "graftline"
    )


@contextmanager
def keeping_states() -> Iterator[None]:
    """Saves the states of trainings in this process and its children in the cache while the context is active.

    Has no effect if `GRAFTLINE_CHECKPOINTS` is already set.
    """
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
