"""A folder tree whose class folders hold images, optionally below train, val and test folders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from graftline.data.formats.archives.file_trees import fetch_samples, open_files
from graftline.data.formats.folders.tree import dataset_of_tree
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with open_files(location) as tree:
        yield replace(dataset_of_tree(location.uri, tree), fetch=partial(fetch_samples, location))


FORMAT = Format(
    "image_folder",
    "folders of images, CLASS/IMAGE or train/CLASS/IMAGE",
    lambda location: location.is_folder,
    _open,
)
