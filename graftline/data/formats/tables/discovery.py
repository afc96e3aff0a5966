"""Discovery of the tables in a folder or a bucket prefix."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.split_names import TABLE_SPLITS, split_of_table
from graftline.data.formats.tables.columns import quote_names
from graftline.runtime.errors import RefusedError

_MAX_FILES = 10_000


def list_candidates(location: DataLocation, suffixes: Sequence[str]) -> list[str]:
    """Returns files that can be tables: at the top of a folder, then in `data` and in folders with split names.

    Args:
        location: A folder or a bucket prefix.
        suffixes: Lowercase name suffixes.
    """
    if location.entries is not None:
        names = [entry.name for entry in location.entries if entry.name.count("/") <= 1]
    else:
        names = _list_folder(location.path, "")
        names += [
            inner
            for name in names
            if _can_hold_tables(name) and (location.path / name).is_dir()
            for inner in _list_folder(location.path / name, name + "/")
        ]
    return sorted(
        (
            name
            for name in names
            if name.lower().endswith(tuple(suffixes))
            and ("/" not in name or _can_hold_tables(name.partition("/")[0]))
            and (location.entries is not None or _is_inside(location.path, name))
        ),
        key=lambda name: (name.count("/"), name),
    )[:_MAX_FILES]


def select_tables(
    location: DataLocation, names: Sequence[str], is_image_table: Callable[[str], bool]
) -> list[tuple[str, SplitName | None]]:
    """Selects the tables of images and, if there are several, their splits.

    Args:
        location: For messages.
        names: Candidates from `list_candidates`.
        is_image_table: Returns whether a file is a table of images with labels. Files in subfolders are only tried if
            none at the top is.

    Returns:
        Names and splits; empty if no file is a table of images.

    Raises:
        RefusedError: There are several tables that are not all named after a split.
    """
    tables: list[str] = []
    for is_nested in (False, True):
        tables = tables or [name for name in names if ("/" in name) == is_nested and is_image_table(name)]
    if len(tables) <= 1:
        return [(name, None) for name in tables]
    splits = [(name, split_of_table(name)) for name in tables]
    if unnamed := [name for name, split in splits if split is None]:
        raise RefusedError(
            f"{location}: {quote_names(tables)} are tables of images, but {unnamed[0]!r} is not named after a split "
            "(train, val, test); give one of the tables as data, or choose another format, such as image_folder"
        )
    return splits


def _list_folder(folder: Path, prefix: str) -> list[str]:
    try:
        return [prefix + path.name for path in folder.iterdir()]
    except OSError:
        return []


def _can_hold_tables(folder: str) -> bool:
    return folder.lower() == "data" or folder.lower() in TABLE_SPLITS


def _is_inside(root: Path, name: str) -> bool:
    """Returns whether a name is a regular file inside the folder after resolving links."""
    path = root / name
    return path.is_file() and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
