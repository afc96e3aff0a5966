"""Which files of a place are its tables, and which splits their names give."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.tables.columns import shown
from graftline.data.formats.tables.rows import NAMES
from graftline.runtime.errors import RefusedError

_WORDS = re.compile("(?<![a-z])(" + "|".join(sorted(NAMES, key=len, reverse=True)) + ")(?![a-z])")
_MOST = 10_000


def files_at(place: DataLocation, suffixes: Sequence[str]) -> list[str]:
    """Names of the files that could be tables: at a folder's top, then in `data` and in folders called as splits.

    Args:
        place: A folder or a bucket's prefix.
        suffixes: Of their names, in lower case.
    """
    if place.entries is not None:
        names = [entry.name for entry in place.entries if entry.name.count("/") <= 1]
    else:
        names = _here(place.path, "")
        names += [
            inner
            for name in names
            if _holds_tables(name) and (place.path / name).is_dir()
            for inner in _here(place.path / name, name + "/")
        ]
    return sorted(
        (
            name
            for name in names
            if name.lower().endswith(tuple(suffixes))
            and ("/" not in name or _holds_tables(name.partition("/")[0]))
            and (place.entries is not None or _is_own(place.path, name))
        ),
        key=lambda name: (name.count("/"), name),
    )[:_MOST]


def pick(place: DataLocation, names: Sequence[str], fit: Callable[[str], bool]) -> list[tuple[str, SplitName | None]]:
    """Chooses the tables, and their splits where they have several.

    Args:
        place: For messages.
        names: As `files_at` gives them.
        fit: Whether a file is a table of images with classes; asked of deeper ones when none at the top is.

    Returns:
        Names and splits; none where nothing fits.

    Raises:
        RefusedError: Several that are not each called after a split.
    """
    found: list[str] = []
    for deep in (False, True):
        found = found or [name for name in names if ("/" in name) == deep and fit(name)]
    if len(found) <= 1:
        return [(name, None) for name in found]
    splits = [(name, split_of(name)) for name in found]
    if odd := [name for name, split in splits if split is None]:
        raise RefusedError(
            f"{place}: {shown(found)} are tables of images, and {odd[0]!r} is not called after a split "
            "(train, val, test); give one of them as data, or choose another format, such as "
            "image_folder"
        )
    return splits


def split_of(name: str) -> SplitName | None:
    """The split that a file's name gives, or else its folder's: `train-00000-of-00002.parquet`, `test/metadata.csv`."""
    folder, _, file = name.lower().rpartition("/")
    for part in (file, folder):
        words = {NAMES[word] for word in _WORDS.findall(part)}
        if len(words) == 1:
            return words.pop()
    return None


def _here(folder: Path, prefix: str) -> list[str]:
    try:
        return [prefix + path.name for path in folder.iterdir()]
    except OSError:
        return []


def _holds_tables(folder: str) -> bool:
    return folder.lower() == "data" or folder.lower() in NAMES


def _is_own(root: Path, name: str) -> bool:
    """Whether it is a regular file inside of the folder, links followed."""
    path = root / name
    return path.is_file() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
