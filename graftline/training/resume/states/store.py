"""The states of one training: reads the newest complete one, writes new ones, prunes old ones."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage.access import is_remote
from graftline.training.resume.saves import TrainingState
from graftline.training.resume.states import state_files

NUM_KEPT = 2
"""Number of states that are kept: the older one is used if the newest is damaged."""


class StateFolders(Protocol):
    """Numbered folders on disk or in a bucket."""

    location: str

    def acquire(self) -> bool:
        """Acquires the lease; False if another run holds it."""

    def is_held(self) -> bool:
        """Whether this run still holds the lease."""

    def release(self) -> None:
        """Releases the lease."""

    def numbers(self) -> list[int]:
        """Returns the folders' numbers in ascending order, including incomplete folders."""

    def scratch(self) -> Path:
        """Creates a temporary folder to write or download a state."""

    def publish(self, folder: Path, number: int) -> None:
        """Turns a temporary folder into the folder with this number, atomically."""

    def fetch(self, number: int, folder: Path) -> Path:
        """Returns a local folder with the files of a state; downloads them to the temporary `folder` if needed."""

    def remove(self, number: int) -> None:
        """Removes a folder."""


class StateDirectory:
    """The states of one training; a `graftline.training.resume.saves.StateStore`."""

    def __init__(self, folders: StateFolders, identity: dict[str, Any]) -> None:
        self._folders, self._identity = folders, identity
        self._may_write = folders.acquire()
        if not self._may_write:
            events.log(f"{folders.location}: another run is training this; this run does not save its state")

    def newest(self) -> TrainingState | None:
        """Returns the newest complete state.

        Raises:
            OtherTrainingError: It belongs to another training.
        """
        for number in reversed(self._folders.numbers()):
            scratch = self._folders.scratch()
            try:
                state = state_files.read_state(self._folders.fetch(number, scratch), self._identity)
            except state_files.OtherTrainingError:
                raise
            except RefusedError as error:
                events.log(f"state {number} skipped: {error}")
            else:
                events.log(f"resuming from state {number} in {self._folders.location}")
                return state
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return None

    def numbers(self) -> list[int]:
        """Returns the numbers of the states in ascending order, including incomplete ones."""
        return self._folders.numbers()

    def write(self, state: TrainingState) -> None:
        """Saves a state and removes old ones."""
        if not self._may_write or not self._folders.is_held():
            return
        scratch: Path | None = None
        try:
            scratch = self._folders.scratch()
            state_files.write_state(scratch, self._identity, state)
            number = max(self._folders.numbers(), default=0) + 1
            self._folders.publish(scratch, number)
            for old in self._folders.numbers():
                if old <= number - NUM_KEPT:
                    self._folders.remove(old)
        except (OSError, RefusedError) as error:
            events.log(f"state not saved, training continues: {error}")
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

    def close(self) -> None:
        """Releases the lease for other runs."""
        if self._may_write:
            self._folders.release()
        self._may_write = False


def open_directory(uri: str, identity: dict[str, Any], suffix: str = "") -> StateDirectory:
    """Opens the states of one training below a folder or a gs:// prefix.

    Args:
        uri: Folder or prefix shared by all trainings.
        identity: JSON that identifies the training: source, strategy, seed, config, data, code.
        suffix: Added to the folder's name, to separate states of the same training.

    Raises:
        RefusedError: The URI is invalid or unreachable.
    """
    key = digest_text(canonical_json(identity)).removeprefix("sha256:")[:24]
    location = f"{uri.rstrip('/')}/{key}{suffix}"
    if is_remote(location):
        from graftline.training.resume.states.bucket import BucketFolders

        return StateDirectory(BucketFolders(location), identity)
    from graftline.training.resume.states.folder import LocalFolders

    return StateDirectory(LocalFolders(Path(location.removeprefix("file://")).expanduser()), identity)


def scratch_folder(parent: Path | None = None) -> Path:
    """Creates an empty temporary folder for a state."""
    return Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
