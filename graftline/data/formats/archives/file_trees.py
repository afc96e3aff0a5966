"""File trees of a location, whether it is a folder, a bucket prefix, a zip or a tar."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from graftline.data.formats.archives import tars
from graftline.data.formats.archives.members import FileTree, Member, list_folder
from graftline.data.formats.archives.tars import is_tar, open_tar
from graftline.data.formats.archives.zips import open_zip
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawSample
from graftline.runtime.errors import RefusedError

_MAX_NAMES = 64


def open_files(location: DataLocation) -> AbstractContextManager[FileTree]:
    """Opens the files of a folder, a bucket prefix or an archive.

    Raises:
        RefusedError: The location is none of these, or the archive is damaged or unsafe.
    """
    if location.entries is not None:
        return _list_bucket(location)
    if location.path.is_dir():
        return list_folder(location.path)
    if location.is_file and is_tar(location.path):  # before zip: a tar whose last member is a zip ends like a zip
        return open_tar(location.path)
    if zipfile.is_zipfile(location.path):
        return open_zip(location.path)
    raise RefusedError(f"{location}: expected a folder or a complete zip, tar or tar.gz")


@contextmanager
def _list_bucket(location: DataLocation) -> Iterator[FileTree]:
    names = [entry.name for entry in location.entries or ()]
    yield FileTree(
        [Member(entry.name, entry.size, partial(_open, location, entry.name)) for entry in location.entries or ()],
        sorted({parent.as_posix() for name in names for parent in list(Path(name).parents)[:-1]}),
    )


def _open(location: DataLocation, name: str) -> BinaryIO:
    return location.fetch_file(name).open("rb")


def fetch_samples(location: DataLocation, samples: list[RawSample]) -> None:
    """Downloads the files of samples whose keys are file names of the location."""
    location.fetch([sample.key for sample in samples])


def is_archive(location: DataLocation) -> bool:
    """Returns whether the location is a zip, tar or tar.gz by its content, whatever its name."""
    return location.is_file and (zipfile.is_zipfile(location.path) or is_tar(location.path))


def iter_first_names(location: DataLocation) -> Iterator[str]:
    """Yields the names of the first files or members at little cost; none for a file that is no archive."""
    if location.is_folder:
        yield from location.iter_first_names(_MAX_NAMES)
    elif location.is_file and is_tar(location.path):
        yield from islice(tars.iter_names(location.path), _MAX_NAMES)
    elif location.is_file and zipfile.is_zipfile(location.path):
        with (
            suppress(zipfile.BadZipFile, OSError, ValueError, NotImplementedError),
            zipfile.ZipFile(location.path) as archive,
        ):
            yield from archive.namelist()[:_MAX_NAMES]
