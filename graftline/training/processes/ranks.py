"""Which of several processes this is, by the environment that torchrun makes. No torch."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from graftline.runtime.signals import handled


def several() -> bool:
    """Whether this process was started with others to train with."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def first() -> bool:
    """Whether this process is the one that writes, logs and saves."""
    return int(os.environ.get("RANK") or 0) == 0 or not several()


@contextmanager
def voice(out: Path) -> Iterator[Path]:
    """Yields the folder to write to: `out` in the first process; the others are silent, and what they write is lost.

    Args:
        out: Of the step.
    """
    if first():
        yield out
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="graftline-rank-"))
        nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
        stack.enter_context(redirect_stdout(nowhere))
        # A stop is the first process's business: it saves, ends, and takes the others along.
        stack.enter_context(handled(signal.SIG_IGN, signal.SIGTERM, signal.SIGINT))
        yield Path(folder) / "out"
