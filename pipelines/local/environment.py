"""What a local run changes in its own process, and restores at its end."""

import builtins
import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from graftline.runtime.events import RUN_DIR


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Writes kfp.local's prints, log and warnings to a file, and restores what its threads leave patched."""
    root, own_print = logging.getLogger(), builtins.print
    level, handlers = root.level, root.handlers[:]
    with path.open("a", encoding="utf-8", buffering=1) as file, redirect_stdout(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root.handlers[:] = [logging.StreamHandler(file)]
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            builtins.print = own_print
            root.handlers[:] = handlers
            root.setLevel(level)


@contextmanager
def run_dir_variable(out: Path) -> Iterator[None]:
    """Sets the environment variable, which steps inherit, to the run's folder."""
    before = os.environ.get(RUN_DIR)
    os.environ[RUN_DIR] = str(out)
    try:
        yield
    finally:
        os.environ.pop(RUN_DIR)
        if before is not None:
            os.environ[RUN_DIR] = before


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Makes SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
