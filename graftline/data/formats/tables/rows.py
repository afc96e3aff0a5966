"""Rows of tables to samples: what a row lacks or gets wrong is that row's fault alone."""

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, NamedTuple

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dropped, SplitName
from graftline.data.formats.naming.record_fields import UnfitError, bad_label
from graftline.data.formats.naming.tree import SPLITS
from graftline.data.formats.raw import RawDataset, RawSample
from graftline.data.formats.tables.files import RowFiles
from graftline.data.formats.tables.labels import label_text
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

MAX_ROWS = 50_000_000
"""Of all tables of one place; a packed one can claim more in a few bytes."""
NAMES: dict[str, SplitName] = {**SPLITS, "training": "train", "dev": "val", "testing": "test"}
"""Splits by what a column or a file's name calls them."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_LONGEST = 200


class TableRow(NamedTuple):
    """One row, its values as the file has them."""

    number: int
    """In its table, as `Table.unit` counts."""
    path: object = None
    label: object = None
    split: object = None
    group: object = None
    fault: str | None = None
    """Why it cannot be read at all."""
    image: Callable[[], BinaryIO] | None = None
    """Opens the image that stands in the row itself; `path` is then for people only."""


@dataclass(frozen=True)
class Table:
    """One file of rows."""

    name: str
    """Relative to the place; its folder is where the rows' names start. A single file's own name."""
    unit: str
    """What `Row.number` counts: line or row."""
    rows: Callable[[], Iterator[TableRow]]
    split: SplitName | None = None
    """What its name says, for rows that say nothing."""
    classes: Sequence[str] = ()
    """Classes that it declares, in the order of their indices."""
    images: bool = False
    """Whether images stand in the rows themselves."""
    task: str = DEFAULT_TASK
    """What the labels are read as."""
    labels: Sequence[str] = ()
    """The columns that they stand in."""


@dataclass
class _Gathered:
    files: RowFiles
    samples: list[RawSample] = field(default_factory=list)
    faults: list[Dropped] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    """File to the sample's index."""
    torn: dict[int, str] = field(default_factory=dict)
    """Samples that rows contradict each other on."""
    again: int = 0

    def take(self, table: Table, row: TableRow) -> None:
        found = _sample(table, row, self.files)
        if isinstance(found, Dropped):
            self.faults.append(found)
            return
        index = self.seen.setdefault(found.key, len(self.samples))
        if index == len(self.samples):
            self.samples.append(found)
            return
        first = self.samples[index]
        for what in ("label", "split", "group"):
            one, other = getattr(first, what), getattr(found, what)
            if one != other:
                self.torn.setdefault(index, f"two rows give it the {what}s {one!r} and {other!r}; keep the right one")
                return
        self.again += 1


def raw_of(place: str, tables: Sequence[Table], files: RowFiles) -> RawDataset:
    """Reads all rows.

    Args:
        place: For messages.
        tables: Of one kind: either their rows name files, or hold images.
        files: Where the named files lie.

    Returns:
        Samples in the order of the rows, each file once; classes as declared, else sorted, as numbers where all are
        integers. A file to which rows give different labels, splits or groups is a fault.

    Raises:
        RefusedError: No row, none that can be used, or too many.
    """
    found = _Gathered(files)
    total = 0
    for table in tables:
        for row in table.rows():
            found.take(table, row)
            total += 1
            if total > MAX_ROWS:
                raise RefusedError(f"{place}: more than {MAX_ROWS:,} rows; split it")
    samples = [sample for index, sample in enumerate(found.samples) if index not in found.torn]
    faults = found.faults + [
        Dropped(file=_short(found.samples[index].key), why=why) for index, why in found.torn.items()
    ]
    if not samples:
        raise RefusedError(f"{place}: " + (_none(total, faults) if total else "no row below the header"))
    task = tables[0].task
    if LABEL_TYPES[task].is_class:
        classes, notes = _classes(tables, {sample.label for sample in samples})
    else:
        classes, notes = _names(tables, samples), []
    if found.again:
        notes.append(f"{found.again:,} rows repeat an earlier one; each file is taken once")
    raw = RawDataset(classes, samples, faults, notes, task=task)
    return raw if tables[0].images else replace(raw, fetch=files.fetch)


def named(tables: Sequence[Table], files: RowFiles) -> list[str]:
    """What rows name outside of the place's own listing, each once: see `Format.names`."""
    found: dict[str, None] = {}
    for table in tables:
        for row in table.rows() if not table.images else ():
            sample = _sample(table, row, files)
            if isinstance(sample, RawSample) and (outside := files.outside(sample.key)):
                found[outside] = None
    return list(found)


def usable(table: Table, files: RowFiles, rows: Sequence[TableRow]) -> bool:
    """Whether one of these rows names an image that is there, as a table of images does and a stray one does not."""
    return table.images or any(isinstance(_sample(table, row, files), RawSample) for row in rows)


def _sample(table: Table, row: TableRow, files: RowFiles) -> RawSample | Dropped:
    at = f"{table.name}, {table.unit} {row.number:,}"
    if row.fault is not None:
        return Dropped(file=at, why=row.fault)
    try:
        path, (label, odd) = _text("path", row.path), _label(table, row.label)
        split, group = _text("split", row.split), _text("group", row.group)
    except ValueError as error:
        return Dropped(file=at, why=str(error))
    if row.image is not None:
        key, why = f"{table.name}#{row.number}", None
        if path is not None and len(path) <= _LONGEST and not bad_name(path):
            key = f"{key}/{path}"
    elif path is None:
        return Dropped(file=at, why="it names no file")
    else:
        key, why = files.look(table.name.rpartition("/")[0], path)
    why = why or odd
    if why is None and split is not None and split.strip().casefold() not in NAMES:
        why = f"its split {_short(split)!r} is none of {', '.join(NAMES)}"
    if why is not None:
        return Dropped(file=_short(key), why=f"{why} ({at})")
    return RawSample(
        key,
        sys.intern(label),
        NAMES[split.strip().casefold()] if split is not None else table.split,
        row.image or partial(files.load, key),
        group if group is None else sys.intern(group),
    )


def _label(table: Table, value: object) -> tuple[str, str | None]:
    """A row's label as text, and what is wrong with it.

    Raises:
        ValueError: It is none that text could stand for.
    """
    if not LABEL_TYPES[table.task].is_class:
        try:
            return label_text(table.task, table.labels, value), None
        except UnfitError as error:
            return "", str(error)
    label = _text("label", value)
    if label is None:
        return "", "it has no label"
    odd = bad_label(label)
    return label, f"its label {odd}" if odd else None


def _text(what: str, value: object) -> str | None:
    """A value as text, None where there is none.

    Raises:
        ValueError: It is none that text could stand for.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (list, dict)):
        raise ValueError(f"its {what} is a {'list' if isinstance(value, list) else 'mapping'}; expected one value")
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        text.encode()
    except UnicodeError:
        raise ValueError(f"its {what} is not UTF-8; save the table as UTF-8") from None
    if isinstance(value, bool):
        text = text.lower()
    return text if text.strip() else None


def _classes(tables: Sequence[Table], used: set[str]) -> tuple[list[str], list[str]]:
    declared = dict.fromkeys(name for table in tables for name in table.classes)
    rest = sorted(used - declared.keys())
    if all(_INTEGER.fullmatch(name) for name in rest):
        rest.sort(key=int)
    gone = [name for name in declared if name not in used]
    notes = [f"{len(gone):,} of {len(declared):,} declared classes have no row"] if gone else []
    return [name for name in declared if name in used] + rest, notes


def _names(tables: Sequence[Table], samples: Sequence[RawSample]) -> list[str]:
    """Outputs or labels: the columns, but of labels in one column the names in it."""
    first, label_type = tables[0].labels, LABEL_TYPES[tables[0].task]
    if label_type.is_numeric or len(first) > 1:
        return list(first)
    return sorted({name for text in {sample.label for sample in samples} for name in label_type.names_in(text)})


def _none(total: int, faults: Sequence[Dropped]) -> str:
    first = "; ".join(f"{fault.file}: {fault.why}" for fault in faults[:3])
    return f"none of its {total:,} rows gives an image and a label: {first}{'; ...' if len(faults) > 3 else ''}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
