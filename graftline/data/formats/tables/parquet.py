"""Parquet's columns and rows by pyarrow, which is asked for only here, and whose complaints become refusals."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftline.data.formats.tables.columns import USUAL, Roles, TableHeader
from graftline.data.formats.tables.rows import TableRow
from graftline.runtime.errors import RefusedError

MAGIC = b"PAR1"
_BATCH = 4096
_FEW = 16
_BUFFER = 2**20


@dataclass(frozen=True)
class ImageColumn:
    """Where a file holds its images; columns in a struct are dotted."""

    content: str | None
    """Their bytes; None where rows name files."""
    path: str | None
    """Their names."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Opens a file as a `pyarrow.parquet.ParquetFile` that reads page by page.

    Raises:
        RefusedError: pyarrow is not installed, or the file's directory is damaged.
    """
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError:
        raise RefusedError(f"{path}: Parquet needs pyarrow; pip install 'graftline[parquet]'") from None
    with reading(path):
        file = parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False)
    with file:
        yield file


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what pyarrow says of a damaged file into one sentence."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, ArithmeticError, MemoryError) as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise RefusedError(f"{path}: not a whole Parquet file ({said}); write or download it again") from None


def header(file: Any, path: Path) -> TableHeader:
    """A file's columns: which hold images (bytes, or a struct with bytes), and which are classes by type.

    Raises:
        RefusedError: Its schema is damaged.
    """
    with reading(path):
        schema = file.schema_arrow
    values = {name for role in ("label", "split", "group") for name in USUAL[role]}
    images = [
        field.name
        for field in schema
        if _is_struct(field.type) or (_is_bytes(field.type) and field.name.casefold() not in values)
    ]
    return TableHeader(schema.names, images, list(_class_names(schema)))


def classes(file: Any, column: str) -> list[str]:
    """The classes that a column declares, none where it declares none."""
    return _class_names(file.schema_arrow).get(column, [])


def image_column(file: Any, column: str) -> ImageColumn:
    """Looks at a column of images: `datasets` leaves the bytes out where it was told not to embed files."""
    kind = file.schema_arrow.field(column).type
    if _is_bytes(kind):
        return ImageColumn(column, None)
    if not _is_struct(kind):
        return ImageColumn(None, column)
    path = f"{column}.path" if "path" in _fields(kind) else None
    return ImageColumn(None if path and _is_empty(file, f"{column}.bytes") else f"{column}.bytes", path)


def group_rows(file: Any) -> list[int]:
    """Rows of each row group, as the file's directory claims."""
    return [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]


def rows(path: Path, roles: Roles, image: ImageColumn) -> Iterator[TableRow]:
    """Yields rows from 0 on, without their images' bytes.

    Raises:
        RefusedError: Damaged.
    """
    leaves = dict.fromkeys(leaf for leaf in (image.path, *roles.labels, roles.split, roles.group) if leaf)
    with opened(path) as file:
        names = _class_names(file.schema_arrow)
        with reading(path):
            batches = file.iter_batches(_BATCH, columns=list(leaves), use_threads=False)
        number = 0
        while True:
            with reading(path):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = [
                    _values(batch, column, names)
                    for column in (roles.path if image.path else None, roles.split, roles.group)
                ]
                labels: list[Any] = [_values(batch, column, names) for column in roles.labels]
            labels = list(zip(*labels, strict=True)) if roles.several else labels[0]
            for file_name, split, group, label in zip(*columns, labels, strict=True):
                odd = isinstance(label, int) and roles.label in names
                fault = f"its label {label} is none of {len(names[roles.label]):,} declared classes" if odd else None
                yield TableRow(number, file_name, label, split, group, fault)
                number += 1


def _values(batch: Any, column: str | None, names: dict[str, list[str]]) -> list[object]:
    """A column of a batch as python values, by name where its indices have names; -1 is none, as `datasets` has it."""
    if column is None:
        return [None] * batch.num_rows
    array = batch.column(column)
    if _is_struct_of_one(array.type):
        array = array.field("path")
    try:
        values: list[object] = array.to_pylist()
    except UnicodeDecodeError:
        values = [_value(value) for value in array]
    if declared := names.get(column):
        values = [
            None if value == -1 else declared[value] if isinstance(value, int) and 0 <= value < len(declared) else value
            for value in values
        ]
    return values


def _value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return b"\xff"  # that row's fault: bytes that are no UTF-8 either


def _is_empty(file: Any, content: str) -> bool:
    """Whether no row of the first row group has bytes. Their statistics would tell; damaged ones abort the process."""
    if file.metadata.num_row_groups == 0:
        return False
    batches = file.iter_batches(_FEW, row_groups=[0], columns=[content], use_threads=False)
    return all(batch.column(0).field("bytes").null_count == batch.num_rows for batch in batches)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Column to the names of its indices, as Hugging Face's `datasets` writes them into the schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"].items()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
    return {
        column: feature["names"]
        for column, feature in features
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and _are_names(feature.get("names"))
    }


def _are_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and all(isinstance(name, str) and name.strip() for name in value)
        and len(set(value)) == len(value) > 0
    )


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_struct(kind: Any) -> bool:
    """Whether it is how `datasets` writes an image: {bytes, path}."""
    from pyarrow import types

    return bool(types.is_struct(kind)) and "bytes" in _fields(kind) and _is_bytes(kind.field("bytes").type)


def _is_struct_of_one(kind: Any) -> bool:
    """Whether it is such a column of which only the path was read."""
    from pyarrow import types

    return bool(types.is_struct(kind)) and _fields(kind) == ["path"]


def _fields(kind: Any) -> list[str]:
    return [kind.field(index).name for index in range(kind.num_fields)]
