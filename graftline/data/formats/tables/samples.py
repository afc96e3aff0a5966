"""Conversion of table rows to samples; a row with a missing or invalid value is dropped, the others are kept."""

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from graftline.data.dataset import Dropped
from graftline.data.formats.naming.record_fields import InvalidSampleError, find_label_problem
from graftline.data.formats.naming.split_names import TABLE_SPLITS
from graftline.data.formats.raw import RawDataset, RawSample
from graftline.data.formats.tables.row_files import RowFiles
from graftline.data.formats.tables.row_labels import parse_label
from graftline.data.formats.tables.rows import Table, TableRow
from graftline.data.labels import LABEL_TYPES
from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

MAX_ROWS = 50_000_000
"""Maximum number of rows of all tables; a compressed table can declare more in a few bytes."""
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_MAX_NAME_LENGTH = 200
_MAX_LISTED = 3


@dataclass
class _SampleCollector:
    files: RowFiles
    samples: list[RawSample] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    index_of_key: dict[str, int] = field(default_factory=dict)
    conflicts: dict[int, str] = field(default_factory=dict)
    """Samples with contradictory rows, by index, and the contradiction."""
    num_repeated: int = 0

    def add(self, table: Table, row: TableRow) -> None:
        sample = _convert_row(table, row, self.files)
        if isinstance(sample, Dropped):
            self.dropped.append(sample)
            return
        index = self.index_of_key.setdefault(sample.key, len(self.samples))
        if index == len(self.samples):
            self.samples.append(sample)
            return
        first = self.samples[index]
        for attribute in ("label", "split", "group"):
            values = getattr(first, attribute), getattr(sample, attribute)
            if values[0] != values[1]:
                self.conflicts.setdefault(
                    index, f"two rows give it the {attribute}s {values[0]!r} and {values[1]!r}; keep the correct row"
                )
                return
        self.num_repeated += 1


def read_tables(uri: str, tables: Sequence[Table], files: RowFiles) -> RawDataset:
    """Reads all rows of tables.

    Args:
        uri: For messages.
        tables: Tables whose rows all name files, or all contain images.
        files: Resolves the files that rows name.

    Returns:
        Samples in row order, one per file. Classes are in declared order, else sorted, numerically if all are
        integers. A file to which rows give different labels, splits or groups is dropped.

    Raises:
        RefusedError: There are no rows, no usable rows, or too many rows.
    """
    collector = _SampleCollector(files)
    num_rows = 0
    for table in tables:
        for row in table.iter_rows():
            collector.add(table, row)
            num_rows += 1
            if num_rows > MAX_ROWS:
                raise RefusedError(f"{uri}: more than {MAX_ROWS:,} rows; split the table")
    samples = [sample for index, sample in enumerate(collector.samples) if index not in collector.conflicts]
    dropped = collector.dropped + [
        Dropped(file=_shorten(collector.samples[index].key), why=reason)
        for index, reason in collector.conflicts.items()
    ]
    if not samples:
        raise RefusedError(f"{uri}: {_explain_no_samples(num_rows, dropped)}")
    task = tables[0].task
    if LABEL_TYPES[task].is_class:
        classes, notes = _order_classes(tables, {sample.label for sample in samples})
    else:
        classes, notes = _list_outputs(tables, samples), []
    if collector.num_repeated:
        notes.append(f"{collector.num_repeated:,} rows repeat an earlier row; each file is used once")
    raw = RawDataset(classes, samples, dropped, notes, task=task)
    return raw if tables[0].has_images else replace(raw, fetch=files.fetch)


def list_external_files(tables: Sequence[Table], files: RowFiles) -> list[str]:
    """Returns the files that rows name outside the location's listing, each once; see `Format.list_external_files`."""
    names: dict[str, None] = {}
    for table in tables:
        for row in table.iter_rows() if not table.has_images else ():
            sample = _convert_row(table, row, files)
            if isinstance(sample, RawSample) and (name := files.locate_external(sample.key)):
                names[name] = None
    return list(names)


def is_image_table(table: Table, files: RowFiles, rows: Sequence[TableRow]) -> bool:
    """Returns whether the table contains images or one of these rows names an existing file and has a label."""
    return table.has_images or any(isinstance(_convert_row(table, row, files), RawSample) for row in rows)


def _convert_row(table: Table, row: TableRow, files: RowFiles) -> RawSample | Dropped:
    where = f"{table.name}, {table.unit} {row.number:,}"
    if row.problem is not None:
        return Dropped(file=where, why=row.problem)
    try:
        path, (label, label_problem) = _to_text("path", row.path), _convert_label(table, row.label)
        split, group = _to_text("split", row.split), _to_text("group", row.group)
    except ValueError as error:
        return Dropped(file=where, why=str(error))
    if row.load_image is not None:
        key, problem = f"{table.name}#{row.number}", None
        if path is not None and len(path) <= _MAX_NAME_LENGTH and not bad_name(path):
            key = f"{key}/{path}"
    elif path is None:
        return Dropped(file=where, why="the row names no file")
    else:
        key, problem = files.resolve(table.name.rpartition("/")[0], path)
    problem = problem or label_problem
    if problem is None and split is not None and split.strip().casefold() not in TABLE_SPLITS:
        problem = f"its split is {_shorten(split)!r}, expected one of {', '.join(TABLE_SPLITS)}"
    if problem is not None:
        return Dropped(file=_shorten(key), why=f"{problem} ({where})")
    return RawSample(
        key,
        sys.intern(label),
        TABLE_SPLITS[split.strip().casefold()] if split is not None else table.split,
        row.load_image or partial(files.load, key),
        group if group is None else sys.intern(group),
    )


def _convert_label(table: Table, value: object) -> tuple[str, str | None]:
    """Returns a row's label as text, and what is wrong with it or None.

    Raises:
        ValueError: The value cannot be text.
    """
    if not LABEL_TYPES[table.task].is_class:
        try:
            return parse_label(table.task, table.label_columns, value), None
        except InvalidSampleError as error:
            return "", str(error)
    label = _to_text("label", value)
    if label is None:
        return "", "it has no label"
    problem = find_label_problem(label)
    return label, f"its label {problem}" if problem else None


def _to_text(role: str, value: object) -> str | None:
    """Returns a value as text, or None if it is empty.

    Raises:
        ValueError: The value cannot be text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (list, dict)):
        raise ValueError(f"its {role} is a {'list' if isinstance(value, list) else 'mapping'}, expected a single value")
    try:
        text = value.decode() if isinstance(value, bytes) else str(value)
        text.encode()
    except UnicodeError:
        raise ValueError(f"its {role} is not UTF-8; save the table as UTF-8") from None
    if isinstance(value, bool):
        text = text.lower()
    return text if text.strip() else None


def _order_classes(tables: Sequence[Table], used: set[str]) -> tuple[list[str], list[str]]:
    """Returns the used classes in order, and a note about declared classes that are not used."""
    declared = dict.fromkeys(name for table in tables for name in table.classes)
    others = sorted(used - declared.keys())
    if all(_INTEGER.fullmatch(name) for name in others):
        others.sort(key=int)
    unused = [name for name in declared if name not in used]
    notes = [f"{len(unused):,} of {len(declared):,} declared classes have no rows"] if unused else []
    return [name for name in declared if name in used] + others, notes


def _list_outputs(tables: Sequence[Table], samples: Sequence[RawSample]) -> list[str]:
    """Returns the label columns, or for multilabel with a single column the names that occur in it."""
    columns, label_type = tables[0].label_columns, LABEL_TYPES[tables[0].task]
    if label_type.is_numeric or len(columns) > 1:
        return list(columns)
    return sorted({name for text in {sample.label for sample in samples} for name in label_type.names_in(text)})


def _explain_no_samples(num_rows: int, dropped: Sequence[Dropped]) -> str:
    if num_rows == 0:
        return "no rows below the header"
    first = "; ".join(f"{item.file}: {item.why}" for item in dropped[:_MAX_LISTED])
    more = "; ..." if len(dropped) > _MAX_LISTED else ""
    return f"none of the {num_rows:,} rows has a usable image and label: {first}{more}"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_NAME_LENGTH else text[:_MAX_NAME_LENGTH] + "..."
