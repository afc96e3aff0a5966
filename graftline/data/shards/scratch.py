"""Where a bucket's files are kept while they are decoded: until the dataset is whole, so that a second try goes on."""

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
def scratch(place: str, out: Path) -> Iterator[Path]:
    """Gives a folder for a place's files; it goes when all went well, and waits for the next try when not.

    Args:
        place: What is fetched; two at a time for one place wait for each other.
        out: Where the folder is made if the user's cache folder may not be written; then it always goes.
    """
    folder = cache_home() / "downloads" / digest_text(place)[7:23]
    try:
        lock = _locked(folder, place)
    except OSError:
        folder = out / "raw"
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        inner = folder / "here"  # what fetches into it locks it, so the lock that is held here is on another folder
        inner.mkdir(exist_ok=True)
        yield inner
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _locked(folder: Path, place: str) -> int:
    """Makes the folder and locks it; one that another process took away while this one waited is made anew."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            events.log(f"{place}: another graftline fetches it; waiting for that one")
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists() and folder.stat().st_ino == os.fstat(lock).st_ino:
            return lock
        os.close(lock)
