"""States in a bucket: each file an object, the manifest last; a lease object whose generation its holder moves on."""

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
RENEWED = 20.0
"""Seconds between two renewals of the lease."""
DEAD = 90.0
"""Seconds without a renewal, by the clock of the one who waits, after which a holder is taken for dead."""


class BucketStore:
    """Below one gs:// prefix; nothing is ever overwritten but the lease."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._lease = f"{place}/lease.json"
        self._generation: int | None = None
        self._renewed = 0.0
        self._over, self._busy = threading.Event(), threading.Lock()
        self._owner = json.dumps({"owner": uuid.uuid4().hex}).encode()

    def hold(self) -> bool:
        """Takes the lease, if need be after having watched its holder not move for `DEAD` seconds."""
        self._generation = objects.replace(self._lease, self._owner, 0)
        if self._generation is None:
            self._generation = self._inherited()
        self._renewed = time.monotonic()
        if self._generation is not None:
            threading.Thread(target=self._renew, daemon=True).start()
        return self._generation is not None

    def held(self) -> bool:
        """Whether the lease was renewed lately, so that nobody can have inherited it."""
        return self._generation is not None and time.monotonic() - self._renewed < DEAD - RENEWED

    def release(self) -> None:
        """Removes the lease object, so that the next run need not watch it."""
        self._over.set()
        with self._busy:
            held, self._generation = self._generation, None
            if held is not None and objects.generation(self._lease) == held:
                objects.remove(self._lease)

    def numbers(self) -> list[int]:
        """Lists the states' numbers, whole or not, in rising order."""
        if not access.exists(self.place):
            return []
        names = {entry.name.split("/")[0].removeprefix(PREFIX) for entry in access.listing(self.place)}
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def scratch(self) -> Path:
        """Returns a new folder of this machine."""
        return scratch_folder()

    def publish(self, folder: Path, number: int) -> None:
        """Puts the files, the manifest last."""
        names = sorted((path.name for path in folder.iterdir()), key=lambda name: (name == manifest.NAME, name))
        for name in names:
            access.put(folder / name, f"{self._step(number)}/{name}")

    def fetch(self, number: int, folder: Path) -> Path:
        """Brings a state's files here."""
        return access.local(self._step(number), folder)

    def remove(self, number: int) -> None:
        """Removes a state, the manifest first."""
        for entry in sorted(access.listing(self._step(number)), key=lambda entry: entry.name != manifest.NAME):
            objects.remove(f"{self._step(number)}/{entry.name}")

    def _step(self, number: int) -> str:
        return f"{self.place}/{PREFIX}{number:08d}"

    def _inherited(self) -> int | None:
        seen = objects.generation(self._lease)
        events.log(f"{self.place}: leased by another run; seeing for up to {DEAD:.0f} s whether it lives")
        began = time.monotonic()
        while time.monotonic() - began < DEAD:
            time.sleep(min(RENEWED, DEAD) / 4)
            now = objects.generation(self._lease)
            if now is None:
                return objects.replace(self._lease, self._owner, 0)
            if now != seen:
                return None
        return objects.replace(self._lease, self._owner, seen or 0)

    def _renew(self) -> None:
        while not self._over.wait(RENEWED):
            with self._busy:
                if self._generation is None:
                    return
                try:
                    self._generation = objects.replace(self._lease, self._owner, self._generation)
                    self._renewed = time.monotonic()
                except RefusedError as error:  # no answer just now: the next try may have one
                    events.log(f"lease not renewed: {error}")
