"""Folder for files downloaded from a bucket while they are decoded; a retry finds them there."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftline.runtime import events
from graftline.runtime.cache_location import cache_home
from graftline.runtime.manifest import digest_text


@contextmanager
def download_folder(name: str, out: Path) -> Iterator[Path]:
    """Provides a folder for downloaded files. It is deleted on success and kept for a retry on failure.

    Args:
        name: Identifies the files; a second process with the same name waits until the first has finished.
        out: Parent of the folder if the user's cache folder is not writable; the folder is then always deleted.
    """
    folder = cache_home() / "downloads" / digest_text(name)[7:23]
    try:
        lock = _lock(folder, name)
    except OSError:
        folder = out / "raw"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        inner = folder / "here"  # downloads lock the folder that they write to, so this lock is on its parent
        inner.mkdir(exist_ok=True)
        yield inner
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _lock(folder: Path, name: str) -> int:
    """Creates and locks the folder; creates it again if another process deleted it in the meantime."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            events.log(f"{name}: another graftline process is downloading it; waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists() and folder.stat().st_ino == os.fstat(lock).st_ino:
            return lock
        os.close(lock)
