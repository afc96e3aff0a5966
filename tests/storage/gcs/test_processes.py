"""Many objects, shared among processes; in a process of its own, since one with threads does not share."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from graftline.storage.gcs import processes
from tests.builders.fake_bucket import ALWAYS, Bucket

_FETCH = """
import sys
from pathlib import Path
from graftline.runtime import events
from graftline.storage import access
from graftline.runtime.errors import RefusedError
from graftline.storage.gcs import download, processes
processes._PAYS = 100
print(processes.size(400))
told = []
events.progress = lambda done, total, what: told.append((done, total))
try:
    access.local("gs://bucket/set", Path(sys.argv[1]))
    print(told[-1], sum(done == told[-1][0] for done, _ in told) > 0)
except RefusedError as error:
    print("refused", error)
"""
FILES = {f"set/{number:03}": bytes([number % 256]) * number for number in range(400)}

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core")


def fetching(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _FETCH, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def children(parent: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            about = (process / "stat").read_text().rpartition(")")[2].split()
            found += [int(process.name)] if int(about[1]) == parent else []
    return found


def test_all_comes_and_is_counted(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= FILES
    bucket.fail("media", 503, times=3)
    bucket.fail("media", "corrupt", name="set/200")
    out, error = fetching(tmp_path).communicate()
    total = sum(map(len, FILES.values()))
    assert out.splitlines() == [str(min(4, len(os.sched_getaffinity(0)))), f"({total}, {total}) True"], error
    assert {f"set/{path.name}": path.read_bytes() for path in (tmp_path / "set").iterdir()} == FILES
    assert len(bucket.fetched()) == len(FILES) + 4


def test_one_members_refusal_ends_all(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= FILES
    bucket.fail("media", 403, ALWAYS, name="set/001")
    out, error = fetching(tmp_path).communicate()
    assert "refused gs://bucket/set/001: not permitted (403)" in out, error


def test_a_member_that_is_killed_is_told(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= FILES
    child = fetching(tmp_path)

    def kill(what: str, name: str) -> None:
        if what == "media" and name == "set/050":
            for member in children(child.pid):
                os.kill(member, signal.SIGKILL)

    bucket.before = kill
    _, error = child.communicate()
    assert "RuntimeError: a process that fetched objects was killed; what arrived is kept" in error
    assert child.returncode == 1


def test_a_process_with_threads_does_not_share() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert processes.size(10**6) == 1
    stop.set()
    thread.join()
