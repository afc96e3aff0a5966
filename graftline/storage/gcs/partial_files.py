"""Partially downloaded objects, stored under a temporary name until all bytes are received and verified.

A large object is downloaded in pieces to a file of its final size, next to a list of the completed pieces. A later
download, also in another process, verifies these pieces and resumes.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO

import google_crc32c

from graftline.storage.file_info import FileInfo, encoded, joined

PIECE = 64 * 2**20
"""Maximum size of a request in bytes; larger objects are split into pieces that are downloaded in parallel."""
FOLDERS = "0123456789abcdef"
"""Names of the folders for partial files; several, because threads that create files in one folder block each other."""
Tell = Callable[[int], None]
"""Callback with the number of newly received bytes, negative if bytes must be downloaded again."""


class DamagedError(Exception):
    """Raised when the received bytes do not match the size or the checksum of the object."""


@dataclass(frozen=True)
class Wanted:
    """An object to download and its destination."""

    name: str
    """Name of the object in the bucket."""
    entry: FileInfo
    path: Path


class Whole:
    """Partial file of an object that is downloaded in one piece."""

    def __init__(self, wanted: Wanted, folder: Path, tell: Tell) -> None:
        self.wanted = wanted
        self.landed = False
        self._partial = folder / _key(wanted)
        self._tell = tell

    def missing(self) -> list[tuple[int, int]]:
        """Returns the starts and sizes in bytes of the missing pieces."""
        return [] if self.landed else [(0, self.wanted.entry.size)]

    def open(self, start: int) -> BinaryIO:
        """Returns a file opened for writing at the start of a piece."""
        return self._partial.open("wb")

    def take(self, start: int, size: int, crc: int) -> None:
        """Verifies the written bytes and moves the file to its destination.

        Raises:
            DamagedError: If the checksum differs from that of the entry.
        """
        if encoded(crc) != self.wanted.entry.crc32c:
            raise DamagedError
        self._partial.replace(self.wanted.path)
        self.landed = True
        self._tell(size)


class Pieced:
    """Partial file of an object that is downloaded in several pieces."""

    def __init__(self, wanted: Wanted, folder: Path, tell: Tell) -> None:
        self.wanted = wanted
        self.landed = False
        self._partial = folder / _key(wanted)
        self._list = self._partial.with_suffix(".pieces")
        self._tell = tell
        self._lock = Lock()
        self._sizes = {start: min(PIECE, wanted.entry.size - start) for start in range(0, wanted.entry.size, PIECE)}
        self._here = self._verified()
        if not self._here:
            self._begin()
        with suppress(DamagedError):  # in that case all pieces are downloaded again
            self._finish()

    def missing(self) -> list[tuple[int, int]]:
        """Returns the starts and sizes in bytes of the missing pieces."""
        return [(start, size) for start, size in self._sizes.items() if start not in self._here]

    def open(self, start: int) -> BinaryIO:
        """Returns a file opened for writing at the start of a piece."""
        file = self._partial.open("r+b")
        file.seek(start)
        return file

    def take(self, start: int, size: int, crc: int) -> None:
        """Records a written piece and, after the last piece, verifies the file and moves it to its destination.

        Raises:
            DamagedError: If the checksum of the complete file differs from that of the entry; all pieces must be
                downloaded again.
        """
        with self._lock:
            with self._list.open("a") as file:
                file.write(f"{start} {crc}\n")
            self._here[start] = crc
            self._tell(size)
            try:
                self._finish()
            except DamagedError:
                self._tell(-self.wanted.entry.size)
                raise

    def _finish(self) -> None:
        """Verifies the file and moves it to its destination if all pieces are complete."""
        if len(self._here) < len(self._sizes):
            return
        whole, zeros = 0, bytes(PIECE)
        for start, size in self._sizes.items():
            whole = joined(whole, self._here[start], zeros[:size])
        if encoded(whole) != self.wanted.entry.crc32c:
            self._begin()
            raise DamagedError
        self._partial.replace(self.wanted.path)
        self._list.unlink()
        self.landed = True

    def _begin(self) -> None:
        self._here = {}
        self._list.unlink(missing_ok=True)
        with self._partial.open("wb") as file:
            file.truncate(self.wanted.entry.size)

    def _verified(self) -> dict[int, int]:
        """Returns a mapping from start to checksum of the pieces of an earlier download whose bytes are unchanged."""
        try:
            lines = self._list.read_text(encoding="ascii", errors="replace").splitlines()
            noted = {int(line.partition(" ")[0]): int(line.partition(" ")[2]) for line in lines}
            with self._partial.open("rb") as file:
                return {
                    start: crc
                    for start, crc in noted.items()
                    if start in self._sizes
                    and file.seek(start) == start
                    and google_crc32c.value(file.read(self._sizes[start])) == crc
                }
        except (FileNotFoundError, ValueError):
            return {}


class Landing:
    """Context manager and file-like object that the transfer manager writes a piece to."""

    def __init__(self, arrival: Whole | Pieced, start: int, size: int) -> None:
        self.arrival = arrival
        self.start = start
        self.size = size
        self.here = 0
        """Number of written bytes."""
        self._crc = 0

    def __enter__(self) -> None:
        self._file = self.arrival.open(self.start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        """Writes the next bytes of the piece and updates its checksum."""
        self._file.write(content)
        self._crc = google_crc32c.extend(self._crc, content)
        self.here += len(content)

    def finish(self) -> None:
        """Marks the piece as complete in its partial file.

        Raises:
            DamagedError: If the size of the piece is wrong or a checksum differs from that of the entry.
        """
        if self.here != self.size:
            raise DamagedError
        self.arrival.take(self.start, self.size, self._crc)


def _key(wanted: Wanted) -> str:
    """Returns the relative path of the partial file of one generation of an object, in one of `FOLDERS`."""
    entry = wanted.entry
    digest = hashlib.sha256(f"{wanted.name}\n{entry.generation}\n{entry.crc32c}\n{PIECE}".encode()).hexdigest()
    return f"{digest[0]}/{digest[1:32]}"
