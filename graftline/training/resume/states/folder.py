"""States in a folder of this machine, or of a file system that is mounted here."""

import fcntl
import os
import shutil
from pathlib import Path

from graftline.training.resume.states.store import scratch_folder

PREFIX = "step-"


class FolderStore:
    """A folder a state, made under another name and renamed; the lease is a file lock, which dies with its holder."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock: int | None = None

    def hold(self) -> bool:
        """Takes the lock; False where another run has it."""
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        for left in self._folder.glob(".new-*"):  # of a run that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        return True

    def held(self) -> bool:
        """Whether the lock was taken; nobody can take it away."""
        return self._lock is not None

    def release(self) -> None:
        """Gives the lock back."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = None

    def numbers(self) -> list[int]:
        """Lists the states' numbers, in rising order."""
        names = [path.name.removeprefix(PREFIX) for path in self._folder.glob(f"{PREFIX}*")]
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def scratch(self) -> Path:
        """Returns a new folder on the same file system."""
        return scratch_folder(self._folder)

    def publish(self, folder: Path, number: int) -> None:
        """Renames a folder, once its bytes are on the disk."""
        for path in [*folder.iterdir(), folder]:
            _sync(path)
        folder.rename(self._folder / f"{PREFIX}{number:08d}")
        _sync(self._folder)

    def fetch(self, number: int, folder: Path) -> Path:
        """Returns a state's own folder."""
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
