"""Rows of text: delimited fields below a header, or a JSON object a line; UTF-8, with or without a BOM.

Lines are read one by one and bounded, so that memory stays flat. A row that is broken within its line is its own
fault; a quote that swallows the next lines leaves no telling where rows begin, and the table is refused.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from graftline.config import Columns
from graftline.data.formats.tables.columns import Roles, TableHeader, matches
from graftline.data.formats.tables.rows import TableRow
from graftline.runtime.errors import RefusedError

_SEPARATORS = ",;\t|"
_LOOK = 4096
_LOOK_ROWS = 100
_MAX_LINE = 4 * 2**20


@dataclass(frozen=True)
class TextLayout:
    """How a file holds its rows."""

    header: TableHeader
    separator: str | None
    """Between fields; None for a JSON object a line."""
    spaced: bool = False
    """Whether a space follows each separator."""


def layout(path: Path, wanted: Columns) -> TextLayout | None:
    """Looks at a file's beginning, whatever its name.

    Args:
        path: Here.
        wanted: Columns that the config names; the separator that finds most columns is taken.

    Returns:
        None for what is no text.

    Raises:
        RefusedError: A first line without an end.
    """
    with path.open("rb") as file:
        start = file.read(_LOOK)
    if b"\0" in start:
        return None
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return _objects(path)
    tried = [_fields(path, separator) for separator in _SEPARATORS]
    return max(tried, key=lambda each: (matches(each.header, wanted), len(each.header.columns)))


def rows(path: Path, form: TextLayout, roles: Roles) -> Iterator[TableRow]:
    """Yields rows; their numbers are those of the lines that they begin in, from 1.

    Raises:
        RefusedError: A quote that is not closed, or a line without an end.
    """
    names = roles.path, roles.split, roles.group
    if form.separator is None:
        for number, value in _json_rows(path):
            if isinstance(value, str):
                yield TableRow(number, fault=value)
            else:
                file, split, group = (value.get(name) if name is not None else None for name in names)
                labels = tuple(value.get(name) for name in roles.labels)
                yield TableRow(number, file, labels if roles.several else labels[0], split, group)
        return
    columns = form.header.columns
    at = [columns.index(name) if name is not None else None for name in names]
    labels_at = [columns.index(name) for name in roles.labels]
    for number, fields in _csv_rows(path, form):
        if isinstance(fields, str):
            yield TableRow(number, fault=fields)
        elif len(fields) != len(columns):
            yield TableRow(number, fault=f"{len(fields):,} fields, the header has {len(columns):,}")
        else:
            file, split, group = (fields[index] if index is not None else None for index in at)
            label = tuple(fields[index] for index in labels_at) if roles.several else fields[labels_at[0]]
            yield TableRow(number, file, label, split, group)


def _lines(path: Path) -> Iterator[str]:
    """Lines with their ends; bytes that are no UTF-8 stay in as lone surrogates, and are found out with their row."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            if len(line) == _MAX_LINE and line[-1] not in "\r\n":
                raise RefusedError(f"{path}: line {number:,} has more than {_MAX_LINE:,} characters; is it a table?")
            yield line


def _fields(path: Path, separator: str, spaced: bool = False) -> TextLayout:
    reader = csv.reader(_lines(path), delimiter=separator, strict=True, skipinitialspace=spaced)
    try:
        header = next((fields for fields in reader if any(fields)), [])
    except csv.Error:
        header = []
    if not spaced and any(name.startswith(" ") for name in header[1:]):
        return _fields(path, separator, spaced=True)
    return TextLayout(TableHeader([name.strip() for name in header]), separator, spaced)


def _objects(path: Path) -> TextLayout:
    found = [value for _, value in islice(_json_rows(path), _LOOK_ROWS)]
    objects = [value for value in found if isinstance(value, dict)]
    whole = 2 * len(objects) >= len(found)  # a pretty-printed document may have a line that is an object by chance
    return TextLayout(
        TableHeader(list(dict.fromkeys(name for value in objects for name in value)) if whole else []), None
    )


def _csv_rows(path: Path, form: TextLayout) -> Iterator[tuple[int, list[str] | str]]:
    """Line numbers and fields, or what is wrong; lines without a value are passed over, and so is the header."""
    assert form.separator is not None
    reader = csv.reader(_lines(path), delimiter=form.separator, strict=True, skipinitialspace=form.spaced)
    header = True
    while True:
        number = reader.line_num + 1
        found: list[str] | str
        try:
            found = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > number:
                raise RefusedError(
                    f"{path}: the row that begins in line {number:,} does not end in it ({error}); is a "
                    "quote not closed?"
                ) from None
            found = f"broken: {error}"
        if header:
            header = not any(found)
        elif isinstance(found, str) or any(found):
            yield number, found


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line numbers and objects, or what is wrong; empty lines are passed over."""
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, f"not JSON: {str(error)[:100]}"
            continue
        yield number, value if isinstance(value, dict) else f"expected a JSON object, found {type(value).__name__}"
