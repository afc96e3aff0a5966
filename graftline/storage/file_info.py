"""What is told of a file or object without opening it: name, size and crc32c, alike for a folder and its copy."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from graftline.runtime.errors import RefusedError

_PIECE = 2**20
_ONES = 0xFFFFFFFF


@dataclass(frozen=True, order=True)
class FileInfo:
    """A file or object."""

    name: str
    """Relative to the place, with slashes; a single file's own name."""
    size: int
    crc32c: str
    """Base64 of its 4 bytes, as Cloud Storage writes it."""
    generation: int = 0
    """Which of the object's versions; 0 for a local file."""


def file_info(path: Path, name: str) -> FileInfo:
    """Reads a file for its checksum.

    Args:
        path: A regular file.
        name: What to call it.

    Raises:
        RefusedError: This user may not read it.
    """
    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    size = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                checksum.update(piece)
                size += len(piece)
    except PermissionError:
        raise RefusedError(f"{path}: this user may not read it; change its permissions or leave it out") from None
    return FileInfo(name, size, base64.b64encode(checksum.digest()).decode())


def is_whole(path: Path, entry: FileInfo) -> bool:
    """Whether a file is there with an entry's size and checksum."""
    try:
        return path.stat().st_size == entry.size and file_info(path, "").crc32c == entry.crc32c
    except (FileNotFoundError, NotADirectoryError):
        return False


def encoded(crc: int) -> str:
    """A checksum's number as Cloud Storage writes it."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def joined(first: int, second: int, zeros: bytes) -> int:
    """The crc32c of two pieces' bytes one after the other, from the crc32c of each.

    Args:
        first: Of the first piece.
        second: Of the second.
        zeros: As many zero bytes as the second has.
    """
    shifted: int = google_crc32c.extend(first ^ _ONES, zeros) ^ _ONES
    return shifted ^ second
