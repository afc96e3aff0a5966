"""Rank of this process, from the environment variables that torchrun sets. Does not import torch."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path

from graftline.runtime.signals import handled


def is_distributed() -> bool:
    """Whether this process is one of several that train together."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def is_main_process() -> bool:
    """Whether this process writes files, logs and saves states."""
    return int(os.environ.get("RANK") or 0) == 0 or not is_distributed()


@contextmanager
def main_process_output(out: Path) -> Iterator[Path]:
    """Yields the folder to write to: `out` in the main process; in others a temporary folder, with stdout discarded.

    Args:
        out: Output folder of the step.
    """
    if is_main_process():
        yield out
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="graftline-rank-"))
        devnull = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123
        stack.enter_context(redirect_stdout(devnull))
        # The main process handles signals: it saves the state, exits, and the launcher ends the other processes.
        stack.enter_context(handled(signal.SIG_IGN, signal.SIGTERM, signal.SIGINT))
        yield Path(folder) / "out"
