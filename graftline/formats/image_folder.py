"""A folder tree: the class is the folder's name, with or without train, val and test folders above."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from graftline.formats.files import fetch_members, files_of
from graftline.formats.place import Place
from graftline.formats.raw import Format, Raw
from graftline.formats.tree import raw_of


@contextmanager
def _read(place: Place) -> Iterator[Raw]:
    with files_of(place) as files:
        yield replace(raw_of(place.uri, files), fetch=partial(fetch_members, place))


FORMAT = Format(
    "image_folder", "folders of images, CLASS/IMAGE or train/CLASS/IMAGE", lambda place: place.is_folder, _read
)
