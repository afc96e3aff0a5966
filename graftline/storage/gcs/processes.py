"""Processes that share many objects among them: what one Python process fetches is bounded by its one interpreter lock.

They are forked, so only from a process without other threads, whose locks a child could find held for ever; elsewhere
all is done in the caller's own threads.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import cast

from graftline.runtime.errors import RefusedError

_PAYS = 500  # objects for each process
_MOST = 8
_TICK = 0.2  # seconds
_PR_SET_PDEATHSIG = 1


def size(objects: int) -> int:
    """How many processes to share objects among, 1 where this one does better by itself."""
    if sys.platform != "linux" or threading.active_count() > 1 or multiprocessing.current_process().daemon:
        return 1
    return max(1, min(_MOST, len(os.sched_getaffinity(0)), objects // _PAYS))


def run(work: Callable[[int], None], members: int, tick: Callable[[], None]) -> None:
    """Runs work in processes, and ends them all when one fails.

    Args:
        work: Called in each with its number.
        members: How many.
        tick: Called here now and then.

    Raises:
        RefusedError: A member's.
        RuntimeError: A member failed by a bug, whose traceback is the message, or was killed.
    """
    context = multiprocessing.get_context("fork")
    crew: list[ForkProcess] = []
    at_work: list[Connection] = []
    try:
        for number in range(members):
            here, there = context.Pipe(duplex=False)
            member = context.Process(target=_member, args=(work, number, there, os.getpid()))
            member.start()
            crew.append(member)
            there.close()  # so that no later member holds it, and the end of this one is seen
            at_work.append(here)
        while at_work:
            for here in cast(list[Connection], wait(at_work, _TICK)):
                _check(here)
                at_work.remove(here)
            tick()
    finally:
        for member in crew:
            member.kill()
            member.join()


def _check(told: Connection) -> None:
    try:
        kind, message = json.loads(told.recv_bytes())
    except EOFError:
        raise RuntimeError("a process that fetched objects was killed; what arrived is kept") from None
    if kind == "refused":
        raise RefusedError(message)
    if kind == "bug":
        raise RuntimeError(message)


def _member(work: Callable[[int], None], number: int, told: Connection, parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing is written on after a stop from outside
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # reaches the parent too, which ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answer = ("done", "")
    try:
        work(number)
    except RefusedError as error:
        answer = ("refused", str(error))
    except BaseException:
        answer = ("bug", traceback.format_exc())
    told.send_bytes(json.dumps(answer).encode())
