"""Worker processes that download many objects in parallel, since the GIL limits the speed of a single process.

The processes are forked only if the calling process has no other threads, because a lock that another thread holds
during the fork is never released in the child. Otherwise the threads of the calling process download all objects.
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

_PAYS = 500  # minimum number of objects per process
_MOST = 8  # maximum number of processes
_TICK = 0.2  # seconds
_PR_SET_PDEATHSIG = 1


def size(objects: int) -> int:
    """Returns the number of processes for a number of objects; 1 if several processes are impossible or not faster."""
    if sys.platform != "linux" or threading.active_count() > 1 or multiprocessing.current_process().daemon:
        return 1
    return max(1, min(_MOST, len(os.sched_getaffinity(0)), objects // _PAYS))


def run(work: Callable[[int], None], members: int, tick: Callable[[], None]) -> None:
    """Runs a function in several processes and kills all of them if one fails.

    Args:
        work: Function that is called in each process with the index of the process.
        members: Number of processes.
        tick: Function that is called in this process repeatedly, at intervals of about 0.2 s or less.

    Raises:
        RefusedError: If a process raised it.
        RuntimeError: If a process raised another exception (the message is its traceback) or was killed.
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
            there.close()  # so that later processes do not inherit it and the exit of this one closes the pipe
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
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no writes after the parent is killed
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent receives it too and kills this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    answer = ("done", "")
    try:
        work(number)
    except RefusedError as error:
        answer = ("refused", str(error))
    except BaseException:
        answer = ("bug", traceback.format_exc())
    told.send_bytes(json.dumps(answer).encode())
