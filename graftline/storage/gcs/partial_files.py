"""Objects on their way to a folder: each lies under another name until all its bytes are there and verified.

A large object comes in pieces, in a file of its final size beside a list of the pieces that are there. A later fetch,
in another process even, checks those and goes on from there.
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
"""Bytes, at most, of one request; more of an object are fetched side by side, and each piece is kept by itself."""
FOLDERS = "0123456789abcdef"
"""Names of the folders where files arrive: making files in a single one, threads would wait for each other."""
Tell = Callable[[int], None]
"""Takes how many more bytes there are; fewer where some have to come again."""


class DamagedError(Exception):
    """Bytes arrived that are not the object's."""


@dataclass(frozen=True)
class Wanted:
    """An object and where it goes."""

    name: str
    """In the bucket."""
    entry: FileInfo
    path: Path


class Whole:
    """An object of one piece."""

    def __init__(self, wanted: Wanted, folder: Path, tell: Tell) -> None:
        self.wanted = wanted
        self.landed = False
        self._partial = folder / _key(wanted)
        self._tell = tell

    def missing(self) -> list[tuple[int, int]]:
        """Starts and sizes of the pieces that are not here."""
        return [] if self.landed else [(0, self.wanted.entry.size)]

    def open(self, start: int) -> BinaryIO:
        """Where a piece's bytes are written to."""
        return self._partial.open("wb")

    def take(self, start: int, size: int, crc: int) -> None:
        """Takes what was written.

        Raises:
            DamagedError: It is not what was listed.
        """
        if encoded(crc) != self.wanted.entry.crc32c:
            raise DamagedError
        self._partial.replace(self.wanted.path)
        self.landed = True
        self._tell(size)


class Pieced:
    """An object of many pieces."""

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
        with suppress(DamagedError):  # then all has to come again
            self._finish()

    def missing(self) -> list[tuple[int, int]]:
        """Starts and sizes of the pieces that are not here."""
        return [(start, size) for start, size in self._sizes.items() if start not in self._here]

    def open(self, start: int) -> BinaryIO:
        """Where a piece's bytes are written to."""
        file = self._partial.open("r+b")
        file.seek(start)
        return file

    def take(self, start: int, size: int, crc: int) -> None:
        """Takes what was written of a piece.

        Raises:
            DamagedError: It was the last, and the whole is not what was listed: all has to come again.
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
        """Lands, if all pieces are here."""
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
        """The pieces that an earlier fetch left, by their start, those alone whose bytes are still what it wrote."""
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
    """What the transfer manager is given as a piece's file: a context that holds it open."""

    def __init__(self, arrival: Whole | Pieced, start: int, size: int) -> None:
        self.arrival = arrival
        self.start = start
        self.size = size
        self.here = 0
        """Bytes that are written."""
        self._crc = 0

    def __enter__(self) -> None:
        self._file = self.arrival.open(self.start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        """Takes the next bytes."""
        self._file.write(content)
        self._crc = google_crc32c.extend(self._crc, content)
        self.here += len(content)

    def finish(self) -> None:
        """Hands the piece over.

        Raises:
            DamagedError: It is not of its size, or not what was listed.
        """
        if self.here != self.size:
            raise DamagedError
        self.arrival.take(self.start, self.size, self._crc)


def _key(wanted: Wanted) -> str:
    """Where one generation of an object arrives, whatever it is called: in one of `FOLDERS`."""
    entry = wanted.entry
    digest = hashlib.sha256(f"{wanted.name}\n{entry.generation}\n{entry.crc32c}\n{PIECE}".encode()).hexdigest()
    return f"{digest[0]}/{digest[1:32]}"
