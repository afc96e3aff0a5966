"""Images without labels at any depth of a folder, a bucket prefix or an archive, for domain adaptation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from graftline.data.dataset import Dropped
from graftline.data.formats.archives.file_trees import fetch_samples, open_files
from graftline.data.formats.folders.tree import count_wrapping_folders, mixed_folders_error
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.file_names import IMAGE_SUFFIXES, is_junk, suffix_of
from graftline.data.formats.naming.split_names import SPLITS
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with open_files(location) as tree:
        members = [member for member in tree.members if not is_junk(member.name)]
        images = [member for member in members if suffix_of(member.name) in IMAGE_SUFFIXES]
        if not images:
            raise RefusedError(
                f"{location}: no images among {len(members):,} files; expected names that end in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}"
            )
        top = count_wrapping_folders([member.name for member in images])
        paths = [member.name.split("/")[top:] for member in images]
        has_splits = _has_split_folders(location, paths)
        dropped = [item for item in tree.dropped if not is_junk(item.file)]
        samples = []
        for member, path in zip(images, paths, strict=True):
            if has_splits and len(path) < 2:
                dropped.append(Dropped(file=member.name, why="not in a split folder"))
            else:
                split = SPLITS[path[0].lower()] if has_splits else None
                samples.append(RawSample(member.name, "", split, member.open))
        num_others = len(members) - len(images)
        notes = [f"ignored {num_others:,} files whose names are not those of images"] if num_others else []
        yield RawDataset([], samples, dropped, notes, fetch=partial(fetch_samples, location))


def _has_split_folders(location: DataLocation, paths: Sequence[Sequence[str]]) -> bool:
    first = {path[0] for path in paths if len(path) >= 2}
    split_folders = {name for name in first if name.lower() in SPLITS}
    if len(split_folders) >= 2 and split_folders != first:
        raise mixed_folders_error(location.uri, split_folders, first)
    return bool(split_folders) and split_folders == first


FORMAT = Format(
    "unlabeled",
    "images without labels, at any depth; never detected: set format: unlabeled",
    lambda location: False,
    _open,
    is_labeled=False,
    aliases=("unlabelled",),
)
