"""A zip, tar or tar.gz of a folder tree, read without being extracted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graftline.formats.files import files_of, is_archive
from graftline.formats.raw import Format, Raw
from graftline.formats.tree import raw_of


@contextmanager
def _read(place: Path) -> Iterator[Raw]:
    with files_of(place) as files:
        yield raw_of(place, files)


FORMAT = Format("archive", "a zip, tar or tar.gz of such folders", is_archive, _read)
