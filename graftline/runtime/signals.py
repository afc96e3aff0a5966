"""Who answers the signals that tell this process to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


@contextmanager
def handled(handler: Handler, *numbers: signal.Signals) -> Iterator[None]:
    """Inside, a handler answers some signals; a thread other than the main one may set none, and changes nothing."""
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
    """Ends the process as a shell would say that the signal did.

    Raises:
        SystemExit: Always.
    """
    raise SystemExit(128 + number)
