"""Which column of a table says what: the one that the config names, else the one with a usual name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graftline.config import Columns
from graftline.runtime.errors import RefusedError

USUAL = {
    "path": ("path", "file", "file_name", "filename", "image", "image_path", "img", "uri", "url", "filepath"),
    "label": ("label", "labels", "class", "class_name", "category", "target", "species", "y"),
    "split": ("split", "set", "subset", "partition"),
    "group": ("group", "group_id"),
}
"""Names by what they say, the likelier first."""
_SHOWN = 20


@dataclass(frozen=True)
class TableHeader:
    """A table's columns."""

    columns: Sequence[str]
    images: Sequence[str] = ()
    """Those that hold images themselves."""
    classes: Sequence[str] = ()
    """Those that hold classes by their type, whatever they are called."""


@dataclass(frozen=True)
class Roles:
    """The columns that are read."""

    path: str
    labels: tuple[str, ...]
    """One, or those that `columns.labels` names."""
    split: str | None
    group: str | None
    several: bool = False
    """Whether a row's label is a tuple of all these columns."""

    @property
    def label(self) -> str:
        """The first column of the label."""
        return self.labels[0]


def guess(header: TableHeader, wanted: Columns) -> Roles | None:
    """The likeliest columns, to look with; None where there is none for images or none for classes."""
    found = {role: _candidates(header, role, wanted) for role in USUAL}
    path, split, group = (next(iter(found[role]), None) for role in ("path", "split", "group"))
    if path is None or not found["label"]:
        return None
    return Roles(path, tuple(wanted.labels or found["label"][:1]), split, group, wanted.labels is not None)


def matches(header: TableHeader, wanted: Columns) -> int:
    """Counts the roles that have a column."""
    return sum(bool(_candidates(header, role, wanted)) for role in USUAL)


def choose(where: str, header: TableHeader, wanted: Columns) -> Roles:
    """Gives each role its column.

    Args:
        where: The table, for messages.
        header: What it has.
        wanted: What the config names; it has to be there.

    Raises:
        RefusedError: A column that is missing, there twice, or one of several that could be the class.
    """
    found = {role: _candidates(header, role, wanted) for role in USUAL}
    have = f"there are {shown(header.columns)}" if header.columns else "there are none"
    for role, candidates in found.items():
        if not candidates and (named := getattr(wanted, role)) is not None:
            raise RefusedError(f"{where}: no column {named!r}, which columns.{role} names; {have}")
    if gone := [name for name in wanted.labels or () if name not in header.columns]:
        raise RefusedError(f"{where}: no column {gone[0]!r}, which columns.labels names; {have}")
    if not found["path"]:
        raise RefusedError(f"{where}: no column of images; {have}; call it 'path', or say which under columns.path")
    path, split, group = (found[role][0] if found[role] else None for role in ("path", "split", "group"))
    named = wanted.label is not None or wanted.labels is not None
    labels = [name for name in found["label"] if named or name not in (path, split, group)]
    if not labels:
        raise RefusedError(f"{where}: no column of classes; {have}; call it 'label', or say which under columns.label")
    if len(labels) > 1 and wanted.labels is None:
        raise RefusedError(
            f"{where}: {shown(labels)} could each be the class; say which under columns.label, such as "
            f"--set target.columns.label={labels[0]}"
        )
    assert path is not None
    roles = Roles(path, tuple(labels), split, group, wanted.labels is not None)
    for name in (roles.path, *roles.labels, roles.split, roles.group):
        if header.columns.count(name) > 1:
            raise RefusedError(f"{where}: two columns are called {name!r}; rename one")
    return roles


def shown(names: Sequence[str]) -> str:
    """Names for a message, the first of many."""
    quoted = [repr(name if len(name) <= 60 else name[:60] + "...") for name in names[:_SHOWN]]
    return ", ".join(quoted) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _candidates(header: TableHeader, role: str, wanted: Columns) -> list[str]:
    if role == "label" and wanted.labels is not None:
        return list(wanted.labels) if set(wanted.labels) <= set(header.columns) else []
    named: str | None = getattr(wanted, role)
    if named is not None:
        return [named] if named in header.columns else []
    found = [column for name in USUAL[role] for column in header.columns if _plain(column) == name]
    if role == "path":
        images = [name for name in found if name in header.images] or list(header.images)
        found = images + [name for name in found if name not in images]
    if role == "label":
        found = [name for name in [*found, *header.classes] if name not in header.images]
    return list(dict.fromkeys(found))


def _plain(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().casefold())
