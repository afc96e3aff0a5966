import fcntl
import os
from pathlib import Path

import pytest

from graftline.data.shards.scratch import scratch


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))


def test_what_fetches_into_it_can_lock_it(tmp_path: Path) -> None:
    with scratch("gs://bucket/a.zip", tmp_path) as folder:
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as storage.fetch does; it would wait for ever
        os.close(held)


def test_it_stays_for_the_next_try_and_goes_when_all_went_well(tmp_path: Path) -> None:
    def broken_off() -> None:
        with scratch("gs://bucket/a", tmp_path) as folder:
            (folder / "half").write_bytes(b"x")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        broken_off()
    with scratch("gs://bucket/a", tmp_path) as folder:
        assert (folder / "half").exists()
    assert list((tmp_path / "cache/downloads").iterdir()) == []
