"""The errors that a user can mend; everything else is a bug and keeps its traceback."""

from typing import Literal

Kind = Literal["refused", "bug", "oom", "preempted", "diverged"]


class RefusedError(Exception):
    """The config, the data or a file was refused; the message says what, where, and what to do.

    The command line prints the message alone and exits with status 2.
    """

    kind: Kind = "refused"


class DivergedError(Exception):
    """The loss became NaN or infinite, or outgrew its bound; the message names epoch and batch."""

    kind: Kind = "diverged"


def kind_of(error: BaseException) -> Kind:
    """Sorts an exception into what a retry and the command line need to know.

    Args:
        error: Whatever ended a step.

    Returns:
        `refused` and `diverged` for graftline's own types, `oom` for a lack of memory on the host or the
        device, `preempted` for a stop from outside, and `bug` for all else.
    """
    if isinstance(error, (RefusedError, DivergedError)):
        return error.kind
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit)):
        return "preempted"
    return "bug"
