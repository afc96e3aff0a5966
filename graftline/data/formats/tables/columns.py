"""Roles of a table's columns: the column that the config names, else one with a usual name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graftline.config import Columns
from graftline.runtime.errors import RefusedError

USUAL_NAMES = {
    "path": ("path", "file", "file_name", "filename", "image", "image_path", "img", "uri", "url", "filepath"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "species", "y"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "group_id"),
}
"""Usual column names by role, by precedence."""
_MAX_LISTED = 20
_MAX_NAME_LENGTH = 60


@dataclass(frozen=True)
class TableHeader:
    """Columns of a table."""

    columns: Sequence[str]
    images: Sequence[str] = ()
    """Columns that contain encoded images."""
    classes: Sequence[str] = ()
    """Columns whose type is a class, whatever their names."""


@dataclass(frozen=True)
class Roles:
    """Columns to read."""

    path: str
    labels: tuple[str, ...]
    """One column, or those of `columns.labels`."""
    split: str | None
    group: str | None
    is_tuple: bool = False
    """Whether a row's label is a tuple with the values of all label columns."""

    @property
    def label(self) -> str:
        """The first label column."""
        return self.labels[0]


def guess_roles(header: TableHeader, columns: Columns) -> Roles | None:
    """Returns the most likely columns, or None if there is none for images or none for labels."""
    candidates = {role: _find_candidates(header, role, columns) for role in USUAL_NAMES}
    path, split, group = (next(iter(candidates[role]), None) for role in ("path", "split", "group"))
    if path is None or not candidates["label"]:
        return None
    labels = tuple(columns.labels or candidates["label"][:1])
    return Roles(path, labels, split, group, columns.labels is not None)


def count_roles(header: TableHeader, columns: Columns) -> int:
    """Returns the number of roles that have a column."""
    return sum(bool(_find_candidates(header, role, columns)) for role in USUAL_NAMES)


def choose_roles(where: str, header: TableHeader, columns: Columns) -> Roles:
    """Chooses the column of each role.

    Args:
        where: Name of the table for messages.
        header: The columns of the table.
        columns: Columns that the config names; they must exist.

    Raises:
        RefusedError: A column is missing or occurs twice, or several columns could be the label.
    """
    candidates = {role: _find_candidates(header, role, columns) for role in USUAL_NAMES}
    existing = f"the columns are {quote_names(header.columns)}" if header.columns else "the table has no columns"
    for role, names in candidates.items():
        if not names and (name := getattr(columns, role)) is not None:
            raise RefusedError(f"{where}: no column {name!r}, which columns.{role} requests; {existing}")
    if missing := [name for name in columns.labels or () if name not in header.columns]:
        raise RefusedError(f"{where}: no column {missing[0]!r}, which columns.labels requests; {existing}")
    if not candidates["path"]:
        raise RefusedError(f"{where}: no image column; {existing}. Name it 'path', or set columns.path")
    path, split, group = (candidates[role][0] if candidates[role] else None for role in ("path", "split", "group"))
    is_requested = columns.label is not None or columns.labels is not None
    labels = [name for name in candidates["label"] if is_requested or name not in (path, split, group)]
    if not labels:
        raise RefusedError(f"{where}: no label column; {existing}. Name it 'label', or set columns.label")
    if len(labels) > 1 and columns.labels is None:
        raise RefusedError(
            f"{where}: {quote_names(labels)} could all be the label; set columns.label to one of them, for example "
            f"--set target.columns.label={labels[0]}"
        )
    assert path is not None
    roles = Roles(path, tuple(labels), split, group, columns.labels is not None)
    for column in (roles.path, *roles.labels, roles.split, roles.group):
        if header.columns.count(column) > 1:
            raise RefusedError(f"{where}: two columns have the name {column!r}; rename one")
    return roles


def quote_names(names: Sequence[str]) -> str:
    """Returns names as text for messages, shortened if there are many."""
    quoted = [
        repr(name if len(name) <= _MAX_NAME_LENGTH else name[:_MAX_NAME_LENGTH] + "...") for name in names[:_MAX_LISTED]
    ]
    return ", ".join(quoted) + (f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else "")


def _find_candidates(header: TableHeader, role: str, columns: Columns) -> list[str]:
    if role == "label" and columns.labels is not None:
        return list(columns.labels) if set(columns.labels) <= set(header.columns) else []
    requested: str | None = getattr(columns, role)
    if requested is not None:
        return [requested] if requested in header.columns else []
    names = [column for usual in USUAL_NAMES[role] for column in header.columns if _normalize(column) == usual]
    if role == "path":
        images = [name for name in names if name in header.images] or list(header.images)
        names = images + [name for name in names if name not in images]
    if role == "label":
        names = [name for name in [*names, *header.classes] if name not in header.images]
    return list(dict.fromkeys(names))


def _normalize(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().casefold())
