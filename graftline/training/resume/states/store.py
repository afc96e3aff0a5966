"""A training's own place among all states: newest first in reading, one more in writing, older ones pruned."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import canonical_json, digest_text
from graftline.storage.access import is_remote
from graftline.training.resume.saves import TrainingState
from graftline.training.resume.states import step

KEPT = 2
"""Newest states that stay: the one before the newest is there for a damaged newest one."""


class Store(Protocol):
    """Numbered folders, on disk or in a bucket."""

    place: str

    def hold(self) -> bool:
        """Takes the lease; False where another run holds it."""

    def held(self) -> bool:
        """Whether the lease is still ours."""

    def release(self) -> None:
        """Gives the lease back."""

    def numbers(self) -> list[int]:
        """Lists the folders' numbers, whole or not, in rising order."""

    def scratch(self) -> Path:
        """Returns a new folder in which a state can be written or fetched."""

    def publish(self, folder: Path, number: int) -> None:
        """Makes a scratch folder the folder of that number, whole or not at all."""

    def fetch(self, number: int, folder: Path) -> Path:
        """Returns where the files of a folder can be read; `folder` is a scratch one to bring them to."""

    def remove(self, number: int) -> None:
        """Removes a folder."""


class StateDirectory:
    """The states of one training. Reading and writing are `graftline.training.resume.saves.Saves`."""

    def __init__(self, store: Store, identity: dict[str, Any]) -> None:
        self._store, self._identity = store, identity
        self._writes = store.hold()
        if not self._writes:
            events.log(f"{store.place}: another run trains this just now; this one keeps no state")

    def newest(self) -> TrainingState | None:
        """Returns the newest state that is whole.

        Raises:
            RefusedError: It is of another training.
        """
        for number in reversed(self._store.numbers()):
            scratch = self._store.scratch()
            try:
                saved = step.read(self._store.fetch(number, scratch), self._identity)
            except RefusedError as error:
                if "another training" in str(error):
                    raise
                events.log(f"state {number} passed over: {error}")
            else:
                events.log(f"goes on from state {number} in {self._store.place}")
                return saved
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        return None

    def write(self, saved: TrainingState) -> None:
        """Keeps one more state and prunes older ones."""
        if not self._writes or not self._store.held():
            return
        scratch: Path | None = None
        try:
            scratch = self._store.scratch()
            step.write(scratch, self._identity, saved)
            number = max(self._store.numbers(), default=0) + 1
            self._store.publish(scratch, number)
            for old in self._store.numbers():
                if old <= number - KEPT:
                    self._store.remove(old)
        except (OSError, RefusedError) as error:
            events.log(f"state not kept, the training goes on: {error}")
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

    def close(self) -> None:
        """Lets others write here."""
        if self._writes:
            self._store.release()
        self._writes = False


def at(uri: str, identity: dict[str, Any], apart: str = "") -> StateDirectory:
    """Opens the place of one training below a folder or a gs:// prefix.

    Args:
        uri: Shared by all trainings.
        identity: What makes this one itself: source, strategy, seed, config, data, code; as JSON.
        apart: Added to the folder's name: another place for the same training.

    Raises:
        RefusedError: Not well formed, or not to be asked.
    """
    key = digest_text(canonical_json(identity)).removeprefix("sha256:")[:24]
    place = f"{uri.rstrip('/')}/{key}{apart}"
    if is_remote(place):
        from graftline.training.resume.states.bucket import BucketStore

        return StateDirectory(BucketStore(place), identity)
    from graftline.training.resume.states.folder import FolderStore

    return StateDirectory(FolderStore(Path(place.removeprefix("file://")).expanduser()), identity)


def scratch_folder(inside: Path | None = None) -> Path:
    """Makes a new empty folder for a state."""
    return Path(tempfile.mkdtemp(prefix=".new-", dir=inside))
