"""States in a local folder, or on a mounted file system."""

import fcntl
import os
import shutil
from pathlib import Path

from graftline.training.resume.states.store import scratch_folder

PREFIX = "step-"


class LocalFolders:
    """One folder per state, written under a temporary name and renamed; the lease is a file lock."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = None

    def acquire(self) -> bool:
        """Acquires the lock, which is released when the process ends; False if another run holds it."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        for leftover in self._folder.glob(".new-*"):  # from a run that was killed while writing
            shutil.rmtree(leftover, ignore_errors=True)
        return True

    def is_held(self) -> bool:
        """Whether this run holds the lock."""
        return self._lock is not None

    def release(self) -> None:
        """Releases the lock."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def numbers(self) -> list[int]:
        """Returns the states' numbers in ascending order."""
        names = [path.name.removeprefix(PREFIX) for path in self._folder.glob(f"{PREFIX}*")]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def scratch(self) -> Path:
        """Creates a temporary folder on the same file system."""
        return scratch_folder(self._folder)

    def publish(self, folder: Path, number: int) -> None:
        """Flushes a folder to disk and renames it."""
        for path in [*folder.iterdir(), folder]:
            _sync(path)
        folder.rename(self._folder / f"{PREFIX}{number:08d}")
        _sync(self._folder)

    def fetch(self, number: int, folder: Path) -> Path:
        """Returns the folder of a state."""
        return self._folder / f"{PREFIX}{number:08d}"

    def remove(self, number: int) -> None:
        """Removes a state."""
        shutil.rmtree(self._folder / f"{PREFIX}{number:08d}", ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
