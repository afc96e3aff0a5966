"""A place's files, whether it is a folder, a zip or a tar."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from itertools import islice
from pathlib import Path

from graftline.errors import RefusedError
from graftline.formats.members import Files, folder_files
from graftline.formats.tars import first_names, is_tar, tar_files
from graftline.formats.zips import zip_files

_LOOK = 64


def files_of(place: Path) -> AbstractContextManager[Files]:
    """Opens a folder or an archive alike.

    Raises:
        RefusedError: Neither, or a damaged or hostile archive.
    """
    if place.is_dir():
        return folder_files(place)
    if zipfile.is_zipfile(place):
        return zip_files(place)
    if is_archive(place):
        return tar_files(place)
    raise RefusedError(f"{place}: neither a folder nor a whole zip, tar or tar.gz")


def is_archive(place: Path) -> bool:
    """Whether a file's content is that of a zip, tar or tar.gz, whatever its name."""
    return place.is_file() and (zipfile.is_zipfile(place) or is_tar(place))


def glance(place: Path) -> Iterator[str]:
    """Names of the first files or members of a place, cheaply; none where it is neither folder nor archive."""
    if place.is_dir():
        for depth in ("*", "*/*"):
            yield from (path.name for path in islice(sorted(place.glob(depth)), _LOOK) if path.is_file())
    elif place.is_file() and zipfile.is_zipfile(place):
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(place) as opened:
            yield from opened.namelist()[:_LOOK]
    elif is_archive(place):
        yield from islice(first_names(place), _LOOK)
