"""Errors that a user can fix; every other exception is a bug and is reported with its traceback."""

from typing import Literal

Kind = Literal["refused", "bug", "oom", "preempted", "diverged"]


class RefusedError(Exception):
    """Raised when the config, the data or a file is invalid; the message states the problem, its location and the fix.

    The command line prints only the message and exits with status 2.
    """

    kind: Kind = "refused"


class DivergedError(Exception):
    """Raised when the loss is NaN, infinite or above its bound; the message contains the epoch and the batch."""

    kind: Kind = "diverged"


def kind_of(error: BaseException) -> Kind:
    """Returns the kind of an exception, which retries and the command line depend on.

    Args:
        error: The exception that ended a step.

    Returns:
        `refused` and `diverged` for graftline's own exception types, `oom` if the host or the device is out of
        memory, `preempted` if the process was stopped from outside, and `bug` for any other exception.
    """
    if isinstance(error, (RefusedError, DivergedError)):
        return error.kind
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return "preempted"
    return "bug"
