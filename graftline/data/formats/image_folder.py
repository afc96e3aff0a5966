"""A folder tree: the class is the folder's name, with or without train, val and test folders above."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from graftline.data.formats.archives.files import fetch_members, files_of
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.tree import raw_of
from graftline.data.formats.raw import Format, RawDataset


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with files_of(place) as files:
        yield replace(raw_of(place.uri, files), fetch=partial(fetch_members, place))


FORMAT = Format(
    "image_folder", "folders of images, CLASS/IMAGE or train/CLASS/IMAGE", lambda place: place.is_folder, _read
)
