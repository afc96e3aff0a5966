"""Name, size and crc32c checksum of a file or object, which are equal for a folder and its copy in a bucket."""

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
    """Name, size and checksum of a file or object."""

    name: str
    """Path relative to the listed folder or prefix, with slashes, or the file name if a single file was listed."""
    size: int
    crc32c: str
    """Base64 encoding of the 4-byte checksum, as in Cloud Storage."""
    generation: int = 0
    """Generation (version) of the object; 0 for a local file."""


def file_info(path: Path, name: str) -> FileInfo:
    """Returns the size and the checksum of a file, which is read completely.

    Args:
        path: Regular file.
        name: `name` of the returned entry.

    Raises:
        RefusedError: If the user has no permission to read the file.
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
    """Returns whether a file exists with the size and the checksum of an entry."""
    try:
        return path.stat().st_size == entry.size and file_info(path, "").crc32c == entry.crc32c
    except (FileNotFoundError, NotADirectoryError):
        return False


def encoded(crc: int) -> str:
    """Returns a crc32c checksum in base64, as in Cloud Storage."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def joined(first: int, second: int, zeros: bytes) -> int:
    """Returns the crc32c of two concatenated chunks from the crc32c of each.

    Args:
        first: Checksum of the first chunk.
        second: Checksum of the second chunk.
        zeros: Zero bytes, as many as the second chunk has bytes.
    """
    shifted: int = google_crc32c.extend(first ^ _ONES, zeros) ^ _ONES
    return shifted ^ second
