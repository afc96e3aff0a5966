"""A place's files, whether it is a folder, a bucket's prefix, a zip or a tar."""

import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from graftline.data.formats.archives.members import Files, Member, folder_files
from graftline.data.formats.archives.tars import first_names, is_tar, tar_files
from graftline.data.formats.archives.zips import zip_files
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawSample
from graftline.runtime.errors import RefusedError

_LOOK = 64


def files_of(place: DataLocation) -> AbstractContextManager[Files]:
    """Opens a folder, a bucket's prefix or an archive alike.

    Raises:
        RefusedError: None of these, or a damaged or hostile archive.
    """
    if place.entries is not None:
        return _bucket_files(place)
    if place.path.is_dir():
        return folder_files(place.path)
    if place.is_file and is_tar(place.path):  # first: a tar whose last member is a zip ends as a zip does
        return tar_files(place.path)
    if zipfile.is_zipfile(place.path):
        return zip_files(place.path)
    raise RefusedError(f"{place}: neither a folder nor a whole zip, tar or tar.gz")


@contextmanager
def _bucket_files(place: DataLocation) -> Iterator[Files]:
    names = [entry.name for entry in place.entries or ()]
    yield Files(
        [Member(entry.name, entry.size, partial(_open, place, entry.name)) for entry in place.entries or ()],
        sorted({parent.as_posix() for name in names for parent in list(Path(name).parents)[:-1]}),
    )


def _open(place: DataLocation, name: str) -> BinaryIO:
    return place.file(name).open("rb")


def fetch_members(place: DataLocation, samples: list[RawSample]) -> None:
    """Brings samples here whose keys are names of a place's own files."""
    place.fetch([sample.key for sample in samples])


def is_archive(place: DataLocation) -> bool:
    """Whether a file's content is that of a zip, tar or tar.gz, whatever its name."""
    return place.is_file and (zipfile.is_zipfile(place.path) or is_tar(place.path))


def glance(place: DataLocation) -> Iterator[str]:
    """Names of the first files or members of a place, cheaply; none where it is neither folder nor archive."""
    if place.is_folder:
        yield from place.first_names(_LOOK)
    elif place.is_file and is_tar(place.path):
        yield from islice(first_names(place.path), _LOOK)
    elif place.is_file and zipfile.is_zipfile(place.path):
        with (
            suppress(zipfile.BadZipFile, OSError, ValueError, NotImplementedError),
            zipfile.ZipFile(place.path) as opened,
        ):
            yield from opened.namelist()[:_LOOK]
