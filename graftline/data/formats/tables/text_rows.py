"""Rows of text tables: delimited fields below a header, or one JSON object per line; UTF-8 with or without a BOM.

Lines are read one at a time and their length is bounded, so memory use stays constant. A row that is malformed within
its line is dropped. An unclosed quote that extends over the next lines makes the row boundaries ambiguous, so the
table is refused.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from graftline.config import Columns
from graftline.data.formats.tables.columns import Roles, TableHeader, count_roles
from graftline.data.formats.tables.rows import TableRow
from graftline.runtime.errors import RefusedError

_SEPARATORS = ",;\t|"
_NUM_HEAD_BYTES = 4096
_NUM_HEAD_ROWS = 100
_MAX_LINE_LENGTH = 4 * 2**20


@dataclass(frozen=True)
class TextLayout:
    """Layout of a text table."""

    header: TableHeader
    separator: str | None
    """Field separator; None for one JSON object per line."""
    has_spaces: bool = False
    """Whether a space follows each separator."""


def detect_layout(path: Path, columns: Columns) -> TextLayout | None:
    """Detects the layout of a file from its first lines, whatever its name.

    Args:
        path: Local file.
        columns: Columns that the config names. The separator that yields the most roles is chosen.

    Returns:
        The layout, or None for a file that is not text.

    Raises:
        RefusedError: The first line is too long.
    """
    with path.open("rb") as file:
        head = file.read(_NUM_HEAD_BYTES)
    if b"\0" in head:
        return None
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return _json_layout(path)
    layouts = [_delimited_layout(path, separator) for separator in _SEPARATORS]
    return max(layouts, key=lambda layout: (count_roles(layout.header, columns), len(layout.header.columns)))


def iter_text_rows(path: Path, layout: TextLayout, roles: Roles) -> Iterator[TableRow]:
    """Yields the rows of a table, numbered by their first line, counted from 1.

    Raises:
        RefusedError: A quote is not closed, or a line is too long.
    """
    names = roles.path, roles.split, roles.group
    if layout.separator is None:
        for number, value in _iter_json_rows(path):
            if isinstance(value, str):
                yield TableRow(number, problem=value)
            else:
                file, split, group = (value.get(name) if name is not None else None for name in names)
                labels = tuple(value.get(name) for name in roles.labels)
                yield TableRow(number, file, labels if roles.is_tuple else labels[0], split, group)
        return
    columns = layout.header.columns
    indices = [columns.index(name) if name is not None else None for name in names]
    label_indices = [columns.index(name) for name in roles.labels]
    for number, fields in _iter_delimited_rows(path, layout):
        if isinstance(fields, str):
            yield TableRow(number, problem=fields)
        elif len(fields) != len(columns):
            yield TableRow(number, problem=f"{len(fields):,} fields, but the header has {len(columns):,}")
        else:
            file, split, group = (fields[index] if index is not None else None for index in indices)
            label = tuple(fields[index] for index in label_indices) if roles.is_tuple else fields[label_indices[0]]
            yield TableRow(number, file, label, split, group)


def _iter_lines(path: Path) -> Iterator[str]:
    """Yields lines with their line ends. Bytes that are not UTF-8 become lone surrogates, reported per row."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        number = 0
        while line := file.readline(_MAX_LINE_LENGTH):
            number += 1
            if len(line) == _MAX_LINE_LENGTH and line[-1] not in "\r\n":
                raise RefusedError(
                    f"{path}: line {number:,} has more than {_MAX_LINE_LENGTH:,} characters; check that this is a table"
                )
            yield line


def _delimited_layout(path: Path, separator: str, has_spaces: bool = False) -> TextLayout:
    reader = csv.reader(_iter_lines(path), delimiter=separator, strict=True, skipinitialspace=has_spaces)
    try:
        header = next((fields for fields in reader if any(fields)), [])
    except csv.Error:
        header = []
    if not has_spaces and any(name.startswith(" ") for name in header[1:]):
        return _delimited_layout(path, separator, has_spaces=True)
    return TextLayout(TableHeader([name.strip() for name in header]), separator, has_spaces)


def _json_layout(path: Path) -> TextLayout:
    values = [value for _, value in islice(_iter_json_rows(path), _NUM_HEAD_ROWS)]
    objects = [value for value in values if isinstance(value, dict)]
    # a pretty-printed document can contain a line that happens to be an object
    is_table = 2 * len(objects) >= len(values)
    names = dict.fromkeys(name for value in objects for name in value)
    return TextLayout(TableHeader(list(names) if is_table else []), None)


def _iter_delimited_rows(path: Path, layout: TextLayout) -> Iterator[tuple[int, list[str] | str]]:
    """Yields line numbers and fields, or what is wrong with the row; skips the header and rows without values."""
    assert layout.separator is not None
    reader = csv.reader(_iter_lines(path), delimiter=layout.separator, strict=True, skipinitialspace=layout.has_spaces)
    is_header = True
    while True:
        number = reader.line_num + 1
        row: list[str] | str
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > number:
                raise RefusedError(
                    f"{path}: the row that starts in line {number:,} does not end in that line ({error}); check for "
                    "an unclosed quote"
                ) from None
            row = f"malformed row: {error}"
        if is_header:
            is_header = not any(row)
        elif isinstance(row, str) or any(row):
            yield number, row


def _iter_json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yields line numbers and objects, or what is wrong with the line; skips empty lines."""
    for number, line in enumerate(_iter_lines(path), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {str(error)[:100]}"
            continue
        yield number, value if isinstance(value, dict) else f"expected a JSON object, found {type(value).__name__}"
