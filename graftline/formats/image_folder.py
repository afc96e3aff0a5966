"""A folder tree: the class is the folder's name, with or without train, val and test folders above."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftline.formats.members import folder_files
from graftline.formats.raw import Format, Raw
from graftline.formats.tree import raw_of


@contextmanager
def _read(place: Path) -> Iterator[Raw]:
    with folder_files(place) as files:
        yield raw_of(place, files)


FORMAT = Format("image_folder", "folders of images, CLASS/IMAGE or train/CLASS/IMAGE", Path.is_dir, _read)
