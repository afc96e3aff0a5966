"""A zip, tar or tar.gz of a folder tree, read without being extracted; an archive inside it is not opened."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

from graftline.data.dataset import Dropped
from graftline.data.formats.archives.files import files_of, is_archive
from graftline.data.formats.archives.members import Files
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.tree import IMAGES, is_junk, raw_of
from graftline.data.formats.raw import Format, RawDataset
from graftline.runtime.errors import RefusedError

_INNER = re.compile(r"\.(zip|tar|tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|7z|rar)$", re.IGNORECASE)


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with files_of(place) as files:
        yield raw_of(place.uri, _without_archives(place, files))


def _without_archives(place: DataLocation, files: Files) -> Files:
    inner = [member.name for member in files.members if _INNER.search(member.name) and not is_junk(member.name)]
    rest = [member for member in files.members if not _INNER.search(member.name) and not is_junk(member.name)]
    if inner and not any(PurePosixPath(member.name).suffix.lower() in {"", *IMAGES} for member in rest):
        raise RefusedError(
            f"{place}: no images, but an archive inside ({inner[0]!r}), which is not opened; unpack the "
            "outer one and give what is in it"
        )
    faults = [Dropped(file=name, why="an archive inside the archive, which is not opened") for name in inner]
    return replace(files, members=rest, faults=files.faults + faults)


FORMAT = Format("archive", "a zip, tar or tar.gz of such folders", is_archive, _read)
