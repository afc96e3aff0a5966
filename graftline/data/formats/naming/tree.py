"""Names of files to classes and splits: the class is a folder's name, a split folder may stand above it."""

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from graftline.data.dataset import Dropped, SplitName
from graftline.data.formats.archives.members import Files, Member
from graftline.data.formats.raw import RawDataset, RawSample
from graftline.runtime.errors import RefusedError

SPLITS: dict[str, SplitName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}
IMAGES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"}
"""How names of images end, in lower case."""
_BESIDE = {".txt", ".xml", ".json", ".csv", ".tsv", ".jsonl", ".parquet", ".md", ".yaml", ".yml", ".html"}
_TABLES = {".csv", ".tsv", ".jsonl", ".parquet"}


def raw_of(place: str, files: Files) -> RawDataset:
    """Sorts a tree's files into samples.

    Args:
        place: For messages.
        files: All files and folders. Junk of operating systems and hidden files are passed over, and so is one folder
            around everything. `train`, `val` (or `valid`, `validation`) and `test` are splits where all top folders
            are called so; a lone `train` among other names is a class.

    Raises:
        RefusedError: No class folder, or split folders mixed with others.
    """
    members = [member for member in files.members if not is_junk(member.name)]
    folders = [name for name in files.folders if not is_junk(name)]
    top = wrapping([member.name for member in members])
    splits = _split_level(place, [member.name.split("/")[top:] for member in members])
    samples: list[RawSample] = []
    faults = [fault for fault in files.faults if not is_junk(fault.file)]
    beside: list[str] = []
    deep = 0
    for member in members:
        parts = member.name.split("/")[top:]
        inner = parts[1:] if splits else parts
        if PurePosixPath(member.name).suffix.lower() in _BESIDE:
            beside.append(member.name)
        elif len(inner) >= 2:
            deep += len(inner) > 2
            split = SPLITS[parts[0].lower()] if splits else None
            samples.append(RawSample(member.name, sys.intern(inner[0]), split, member.open))
        elif PurePosixPath(member.name).suffix.lower() in IMAGES:
            faults.append(Dropped(file=member.name, why="in no class folder"))
    if not samples:
        raise RefusedError(
            f"{place}: no class folders with images found among {len(members):,} files"
            f"{_first(members)}; expected CLASS/IMAGE or train/CLASS/IMAGE; if there are no labels, set "
            "format: unlabelled"
        )
    notes = (
        [f"{len(beside):,} files beside the images are no images and were passed over, such as {beside[0]!r}"]
        if beside
        else []
    )
    if deep:
        notes.append(f"{deep:,} images lie in folders below the classes' own; the class is the upper folder's name")
    tables = [name for name in beside if PurePosixPath(name).suffix.lower() in _TABLES and name.count("/") <= top]
    return RawDataset(
        _classes(samples, folders, top + splits, splits),
        samples,
        faults,
        notes,
        [
            f"{name!r} was not read as a table: the classes are the folders' names; with `format: table` it is "
            "read, or says why it cannot be"
            for name in tables[:3]
        ],
    )


def is_junk(name: str) -> bool:
    """Whether a file is an operating system's own, or hidden."""
    return any(part in _JUNK or part.startswith(".") for part in name.split("/") if part != ".")


def wrapping(names: Sequence[str]) -> int:
    """Counts the folders that stand around everything."""
    top = 0
    while True:
        deep = [parts for name in names if len(parts := name.split("/")[top:]) >= 2]
        first = {parts[0] for parts in deep}
        if len(first) != 1 or first.pop().lower() in SPLITS or not any(len(parts) >= 3 for parts in deep):
            return top
        top += 1


def _split_level(place: str, paths: Sequence[Sequence[str]]) -> bool:
    """Whether the first folders are splits."""
    first = {parts[0] for parts in paths if len(parts) >= 2}
    named = {name for name in first if name.lower() in SPLITS}
    deep = {parts[0] for parts in paths if len(parts) >= 3}
    if named == first:
        if len({SPLITS[name.lower()] for name in named}) < len(named):
            raise RefusedError(f"{place}: the folders {sorted(named)} name one split twice; merge them")
        return bool(named)
    if len(named) >= 2 and named <= deep:
        raise RefusedError(
            f"{place}: {sorted(named)} look like splits, {sorted(first - named)} beside them do not; move those out"
        )
    return False


def _classes(samples: Sequence[RawSample], folders: Sequence[str], depth: int, splits: bool) -> list[str]:
    found = {sample.label for sample in samples}
    for name in folders:
        parts = name.split("/")
        if len(parts) == depth + 1 and (not splits or parts[depth - 1].lower() in SPLITS):
            found.add(parts[depth])
    return sorted(found)


def _first(members: Sequence[Member]) -> str:
    return f" (such as {members[0].name!r})" if members else ""
