import fcntl
import os
from pathlib import Path

import pytest

from graftline.data.shards.download_folder import download_folder


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))


def test_downloads_can_lock_the_folder(tmp_path: Path) -> None:
    with download_folder("gs://bucket/a.zip", tmp_path) as folder:
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(
            lock, fcntl.LOCK_EX | fcntl.LOCK_NB
        )  # as downloads do; a lock on the same folder would block forever
        os.close(lock)


def test_folder_is_kept_on_failure_and_deleted_on_success(tmp_path: Path) -> None:
    def interrupted() -> None:
        with download_folder("gs://bucket/a", tmp_path) as folder:
            (folder / "half").write_bytes(b"x")
            raise ConnectionError

    with pytest.raises(ConnectionError):
        interrupted()
    with download_folder("gs://bucket/a", tmp_path) as folder:
        assert (folder / "half").exists()
    assert list((tmp_path / "cache/downloads").iterdir()) == []
