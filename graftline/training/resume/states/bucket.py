"""States in a bucket: one object per file, the manifest last, and a lease object that its holder renews."""

import json
import threading
import time
import uuid
from pathlib import Path

from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.gcs import objects
from graftline.training.resume.states.store import scratch_folder

PREFIX = "step-"
RENEWAL_INTERVAL = 20.0
"""Seconds between two renewals of the lease."""
LEASE_TIMEOUT = 90.0
"""Seconds without a renewal, on the waiting process's clock, after which a lease is considered stale."""


class BucketFolders:
    """Folders below one gs:// prefix; only the lease object is ever overwritten."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._lease = f"{location}/lease.json"
        self._generation: int | None = None
        self._renewed_at = 0.0
        self._stopped, self._busy = threading.Event(), threading.Lock()
        self._owner = json.dumps({"owner": uuid.uuid4().hex}).encode()

    def acquire(self) -> bool:
        """Acquires the lease; if another run holds it, waits up to `LEASE_TIMEOUT` seconds for a renewal."""
        self._generation = objects.replace(self._lease, self._owner, 0)
        if self._generation is None:
            self._generation = self._take_over()
        self._renewed_at = time.monotonic()
        if self._generation is not None:
            threading.Thread(target=self._renew, daemon=True).start()
        return self._generation is not None

    def is_held(self) -> bool:
        """Whether the lease was renewed recently enough that no other run can have taken it over."""
        return self._generation is not None and time.monotonic() - self._renewed_at < LEASE_TIMEOUT - RENEWAL_INTERVAL

    def release(self) -> None:
        """Removes the lease object, so that the next run does not have to wait."""
        self._stopped.set()
        with self._busy:
            generation, self._generation = self._generation, None
            if generation is not None and objects.generation(self._lease) == generation:
                objects.remove(self._lease)

    def numbers(self) -> list[int]:
        """Returns the states' numbers in ascending order, including incomplete states."""
        if not access.exists(self.location):
            return []
        names = {entry.name.split("/")[0].removeprefix(PREFIX) for entry in access.listing(self.location)}
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def scratch(self) -> Path:
        """Creates a local temporary folder."""
        return scratch_folder()

    def publish(self, folder: Path, number: int) -> None:
        """Uploads the files, the manifest last."""
        names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name == manifest.NAME, name))
        for name in names:
            access.put(folder / name, f"{self._prefix(number)}/{name}")

    def fetch(self, number: int, folder: Path) -> Path:
        """Downloads a state."""
        return access.local(self._prefix(number), folder)

    def remove(self, number: int) -> None:
        """Removes a state, the manifest first."""
        for entry in sorted(access.listing(self._prefix(number)), key=lambda entry: entry.name != manifest.NAME):
            objects.remove(f"{self._prefix(number)}/{entry.name}")

    def _prefix(self, number: int) -> str:
        return f"{self.location}/{PREFIX}{number:08d}"

    def _take_over(self) -> int | None:
        initial = objects.generation(self._lease)
        events.log(f"{self.location}: another run holds the lease; waiting up to {LEASE_TIMEOUT:.0f} s for its renewal")
        started = time.monotonic()
        while time.monotonic() - started < LEASE_TIMEOUT:
            time.sleep(min(RENEWAL_INTERVAL, LEASE_TIMEOUT) / 4)
            now = objects.generation(self._lease)
            if now is None:
                return objects.replace(self._lease, self._owner, 0)
            if now != initial:
                return None
        return objects.replace(self._lease, self._owner, initial or 0)

    def _renew(self) -> None:
        while not self._stopped.wait(RENEWAL_INTERVAL):
            with self._busy:
                if self._generation is None:
                    return
                try:
                    self._generation = objects.replace(self._lease, self._owner, self._generation)
                    self._renewed_at = time.monotonic()
                except RefusedError as error:  # the next attempt may succeed
                    events.log(f"lease not renewed: {error}")
