"""Killed at any moment, the next fetch ends with all files whole and asks for none that was."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graftline.storage import access
from graftline.storage.gcs.client import WORKERS
from tests.builders.fake_bucket import Bucket

_FETCH = """
import sys
from pathlib import Path
from graftline.storage import access
from graftline.storage.gcs.client import WORKERS
from graftline.storage.gcs import download, partial_files, processes
partial_files.PIECE = download.PIECE = 100_000
processes._PAYS = int(sys.argv[2])
access.local("gs://bucket/set", Path(sys.argv[1]))
"""


@pytest.mark.parametrize(("moment", "objects_a_process"), [(5, 50), (20, 1000), (120, 50)])
def test_a_killed_fetch_goes_on_where_it_was(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, objects_a_process: int
) -> None:
    draw = random.Random(moment)
    bucket.objects = {f"set/{number:03}": draw.randbytes(draw.randrange(50_000)) for number in range(150)}
    bucket.objects["set/!large"] = draw.randbytes(2_000_000)
    child = subprocess.Popen([sys.executable, "-c", _FETCH, str(tmp_path), str(objects_a_process)])

    def kill(what: str, name: str) -> None:
        if len(bucket.fetched()) == moment:
            os.kill(child.pid, signal.SIGKILL)

    bucket.before = kill
    assert child.wait() == -signal.SIGKILL
    bucket.before = lambda what, name: None
    whole = {path.name for path in (tmp_path / "set").iterdir() if path.is_file()}
    asked = len(bucket.asked)
    monkeypatch.setattr("graftline.storage.gcs.partial_files.PIECE", 100_000)
    monkeypatch.setattr("graftline.storage.gcs.download.PIECE", 100_000)
    folder = access.local("gs://bucket/set", tmp_path)
    assert {f"set/{path.name}": path.read_bytes() for path in folder.iterdir()} == bucket.objects
    again = [name.removeprefix("set/") for what, name, _ in bucket.asked[asked:] if what == "media"]
    assert whole.isdisjoint(again)
    assert len(again) <= 170 - moment + WORKERS
