"""Where a user's cache lies: finished steps, and downloads that another try goes on with."""

import os
from pathlib import Path

CACHE = "GRAFTLINE_CACHE"


def cache_home() -> Path:
    """Returns `$GRAFTLINE_CACHE`, else `graftline` in the user's cache folder; perhaps not there yet."""
    named = os.environ.get(CACHE)
    return Path(named).absolute() if named else \
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "graftline"
