"""A zip, tar or tar.gz of a folder tree, read without extracting it. Archives inside the archive are not opened."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from graftline.data.dataset import Dropped
from graftline.data.formats.archives.file_trees import is_archive, open_files
from graftline.data.formats.archives.members import FileTree
from graftline.data.formats.folders.tree import dataset_of_tree
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.file_names import IMAGE_SUFFIXES, is_junk, suffix_of
from graftline.data.formats.raw import Format, RawDataset
from graftline.runtime.errors import RefusedError

_ARCHIVE_NAME = re.compile(r"\.(zip|tar|tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz|7z|rar)$", re.IGNORECASE)


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with open_files(location) as tree:
        yield dataset_of_tree(location.uri, _drop_nested_archives(location, tree))


def _drop_nested_archives(location: DataLocation, tree: FileTree) -> FileTree:
    members = [member for member in tree.members if not is_junk(member.name)]
    archives = [member.name for member in members if _ARCHIVE_NAME.search(member.name)]
    others = [member for member in members if not _ARCHIVE_NAME.search(member.name)]
    if archives and not any(suffix_of(member.name) in {"", *IMAGE_SUFFIXES} for member in others):
        raise RefusedError(
            f"{location}: no images, only a nested archive ({archives[0]!r}), which is not opened; unpack the outer "
            "archive and give the inner one"
        )
    dropped = [Dropped(file=name, why="a nested archive, which is not opened") for name in archives]
    return replace(tree, members=others, dropped=tree.dropped + dropped)


FORMAT = Format("archive", "a zip, tar or tar.gz of such folders", is_archive, _open)
