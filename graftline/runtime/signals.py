"""Handlers of the signals that stop this process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextmanager
def handled(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """Installs a handler for the given signals while the context is active.

    Has no effect outside of the main thread, since only the main thread can install signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def leave(number: int, frame: FrameType | None) -> None:
    """Exits the process with status 128 + `number`, the status that a shell reports for the signal.

    Raises:
        SystemExit: Always.
    """
    raise SystemExit(128 + number)
