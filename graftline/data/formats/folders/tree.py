"""Labels and splits from folder names: a class folder holds its images, a split folder may be above it."""

import sys
from collections.abc import Sequence

from graftline.data.dataset import Dropped
from graftline.data.formats.archives.members import FileTree, Member
from graftline.data.formats.naming.file_names import IMAGE_SUFFIXES, is_junk, suffix_of
from graftline.data.formats.naming.split_names import SPLITS
from graftline.data.formats.raw import RawDataset, RawSample
from graftline.runtime.errors import RefusedError

_TABLE_SUFFIXES = {".csv", ".tsv", ".jsonl", ".parquet"}
_OTHER_SUFFIXES = {".txt", ".xml", ".json", ".md", ".yaml", ".yml", ".html", *_TABLE_SUFFIXES}
_MAX_WARNINGS = 3


def dataset_of_tree(uri: str, tree: FileTree) -> RawDataset:
    """Builds a dataset from a folder tree.

    Hidden files and operating system files are ignored, and so are folders that contain everything else. The top
    folders are splits if all of them have split names (`train`, `val`, `valid`, `validation`, `test`); a lone `train`
    among other names is a class.

    Args:
        uri: For messages.
        tree: All files and folders.

    Raises:
        RefusedError: There is no class folder, or split folders are mixed with others.
    """
    members = [member for member in tree.members if not is_junk(member.name)]
    folders = [name for name in tree.folders if not is_junk(name)]
    top = count_wrapping_folders([member.name for member in members])
    has_splits = _has_split_folders(uri, [member.name.split("/")[top:] for member in members])
    samples: list[RawSample] = []
    dropped = [item for item in tree.dropped if not is_junk(item.file)]
    other_files: list[str] = []
    num_nested = 0
    for member in members:
        parts = member.name.split("/")[top:]
        inner = parts[1:] if has_splits else parts
        if suffix_of(member.name) in _OTHER_SUFFIXES:
            other_files.append(member.name)
        elif len(inner) >= 2:
            num_nested += len(inner) > 2
            split = SPLITS[parts[0].lower()] if has_splits else None
            samples.append(RawSample(member.name, sys.intern(inner[0]), split, member.open))
        elif suffix_of(member.name) in IMAGE_SUFFIXES:
            dropped.append(Dropped(file=member.name, why="not in a class folder"))
    if not samples:
        raise RefusedError(
            f"{uri}: no class folders with images among {len(members):,} files{_first(members)}; expected CLASS/IMAGE "
            "or train/CLASS/IMAGE. For data without labels, set format: unlabeled"
        )
    notes = (
        [f"ignored {len(other_files):,} files that are not images, such as {other_files[0]!r}"] if other_files else []
    )
    if num_nested:
        notes.append(f"{num_nested:,} images are in subfolders of a class folder; their class is the upper folder")
    tables = [name for name in other_files if suffix_of(name) in _TABLE_SUFFIXES and name.count("/") <= top]
    return RawDataset(
        _list_classes(samples, folders, top + has_splits, has_splits),
        samples,
        dropped,
        notes,
        [
            f"the table {name!r} was ignored, because the classes are the folder names; set `format: table` to read "
            "it or to see why it cannot be read"
            for name in tables[:_MAX_WARNINGS]
        ],
    )


def count_wrapping_folders(names: Sequence[str]) -> int:
    """Returns the number of nested top folders that contain everything else."""
    top = 0
    while True:
        paths = [parts for name in names if len(parts := name.split("/")[top:]) >= 2]
        first = {parts[0] for parts in paths}
        if len(first) != 1 or first.pop().lower() in SPLITS or not any(len(parts) >= 3 for parts in paths):
            return top
        top += 1


def mixed_folders_error(uri: str, split_folders: set[str], folders: set[str]) -> RefusedError:
    """Returns the error for split folders next to other folders."""
    return RefusedError(
        f"{uri}: the folders {sorted(split_folders)} are named like splits, but {sorted(folders - split_folders)} next "
        "to them are not; move those elsewhere"
    )


def _has_split_folders(uri: str, paths: Sequence[Sequence[str]]) -> bool:
    first = {parts[0] for parts in paths if len(parts) >= 2}
    split_folders = {name for name in first if name.lower() in SPLITS}
    nested = {parts[0] for parts in paths if len(parts) >= 3}
    if split_folders == first:
        if len({SPLITS[name.lower()] for name in split_folders}) < len(split_folders):
            raise RefusedError(f"{uri}: two of the folders {sorted(split_folders)} are the same split; merge them")
        return bool(split_folders)
    if len(split_folders) >= 2 and split_folders <= nested:
        raise mixed_folders_error(uri, split_folders, first)
    return False


def _list_classes(samples: Sequence[RawSample], folders: Sequence[str], depth: int, has_splits: bool) -> list[str]:
    """Returns the sorted class names, including those of empty folders."""
    names = {sample.label for sample in samples}
    for folder in folders:
        parts = folder.split("/")
        if len(parts) == depth + 1 and (not has_splits or parts[depth - 1].lower() in SPLITS):
            names.add(parts[depth])
    return sorted(names)


def _first(members: Sequence[Member]) -> str:
    return f" (such as {members[0].name!r})" if members else ""
