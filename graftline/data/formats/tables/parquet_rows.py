"""Columns and rows of Parquet files. pyarrow is imported only here, and its errors become RefusedError."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graftline.data.formats.tables.columns import USUAL_NAMES, Roles, TableHeader
from graftline.data.formats.tables.rows import TableRow
from graftline.runtime.errors import RefusedError

MAGIC = b"PAR1"
"""First bytes of a Parquet file."""
_BATCH_ROWS = 4096
_HEAD_BATCH_ROWS = 16
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class ImageColumn:
    """Columns of the images; a field of a struct is written with a dot."""

    content: str | None
    """Column of the encoded images; None if rows name files."""
    path: str | None
    """Column of the file names."""


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Opens a file as a `pyarrow.parquet.ParquetFile` that reads page by page.

    Raises:
        RefusedError: pyarrow is not installed, or the file's metadata is damaged.
    """
    try:
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError:
        raise RefusedError(f"{path}: Parquet needs pyarrow; run pip install 'graftline[parquet]'") from None
    with refuse_damage(path):
        file = parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    with file:
        yield file


@contextmanager
def refuse_damage(path: Path) -> Iterator[None]:
    """Converts pyarrow's errors about a damaged file to RefusedError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, ValueError, LookupError, ArithmeticError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise RefusedError(
            f"{path}: incomplete or damaged Parquet file ({reason}); write or download it again"
        ) from None


def read_header(file: Any, path: Path) -> TableHeader:
    """Reads the columns of a file, and which of them hold images (bytes, or a struct with bytes) or declare classes.

    Raises:
        RefusedError: The schema is damaged.
    """
    with refuse_damage(path):
        schema = file.schema_arrow
    other_names = {name for role in ("label", "split", "group") for name in USUAL_NAMES[role]}
    images = [
        field.name
        for field in schema
        if _is_image_struct(field.type) or (_is_bytes(field.type) and field.name.casefold() not in other_names)
    ]
    return TableHeader(schema.names, images, list(_declared_classes(schema)))


def read_declared_classes(file: Any, column: str) -> list[str]:
    """Returns the classes that a column declares, in index order; empty if it declares none."""
    return _declared_classes(file.schema_arrow).get(column, [])


def find_image_column(file: Any, column: str) -> ImageColumn:
    """Returns where the images are; Hugging Face's `datasets` can write structs of paths without embedded bytes."""
    column_type = file.schema_arrow.field(column).type
    if _is_bytes(column_type):
        return ImageColumn(column, None)
    if not _is_image_struct(column_type):
        return ImageColumn(None, column)
    path = f"{column}.path" if "path" in _field_names(column_type) else None
    return ImageColumn(None if path and _is_empty(file, f"{column}.bytes") else f"{column}.bytes", path)


def count_group_rows(file: Any) -> list[int]:
    """Returns the number of rows of each row group, as declared in the metadata."""
    return [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]


def iter_parquet_rows(path: Path, roles: Roles, image: ImageColumn) -> Iterator[TableRow]:
    """Yields rows numbered from 0, without the bytes of their images.

    Raises:
        RefusedError: The file is damaged.
    """
    leaves = dict.fromkeys(leaf for leaf in (image.path, *roles.labels, roles.split, roles.group) if leaf)
    with open_parquet(path) as file:
        declared = _declared_classes(file.schema_arrow)
        with refuse_damage(path):
            batches = file.iter_batches(_BATCH_ROWS, columns=list(leaves), use_threads=False)
        number = 0
        while True:
            with refuse_damage(path):
                batch = next(batches, None)
                if batch is None:
                    return
                columns = [
                    _column_values(batch, column, declared)
                    for column in (roles.path if image.path else None, roles.split, roles.group)
                ]
                labels: list[Any] = [_column_values(batch, column, declared) for column in roles.labels]
            labels = list(zip(*labels, strict=True)) if roles.is_tuple else labels[0]
            for file_name, split, group, label in zip(*columns, labels, strict=True):
                problem = None
                if isinstance(label, int) and roles.label in declared:
                    problem = f"its label is {label}, but the column declares {len(declared[roles.label]):,} classes"
                yield TableRow(number, file_name, label, split, group, problem)
                number += 1


def _column_values(batch: Any, column: str | None, declared: dict[str, list[str]]) -> list[object]:
    """Returns a column of a batch as Python values, with class names for indices; -1 is None, as in `datasets`."""
    if column is None:
        return [None] * batch.num_rows
    array = batch.column(column)
    if _is_path_struct(array.type):
        array = array.field("path")
    try:
        values: list[object] = array.to_pylist()
    except UnicodeDecodeError:
        values = [_scalar_value(value) for value in array]
    if names := declared.get(column):
        values = [
            None if value == -1 else names[value] if isinstance(value, int) and 0 <= value < len(names) else value
            for value in values
        ]
    return values


def _scalar_value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return b"\xff"  # bytes that are not UTF-8 either, so that only this row is dropped


def _is_empty(file: Any, content: str) -> bool:
    """Returns whether the first row group has no bytes. Reads the rows: damaged statistics would abort the process."""
    if file.metadata.num_row_groups == 0:
        return False
    batches = file.iter_batches(_HEAD_BATCH_ROWS, row_groups=[0], columns=[content], use_threads=False)
    return all(batch.column(0).field("bytes").null_count == batch.num_rows for batch in batches)


def _declared_classes(schema: Any) -> dict[str, list[str]]:
    """Returns class names by column, from the schema metadata that Hugging Face's `datasets` writes."""
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


def _is_bytes(column_type: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(column_type) or types.is_large_binary(column_type) or types.is_binary_view(column_type))


def _is_image_struct(column_type: Any) -> bool:
    """Returns whether a type is the struct {bytes, path} that `datasets` writes for images."""
    from pyarrow import types

    return (
        bool(types.is_struct(column_type))
        and "bytes" in _field_names(column_type)
        and _is_bytes(column_type.field("bytes").type)
    )


def _is_path_struct(column_type: Any) -> bool:
    """Returns whether a type is such a struct of which only the path was read."""
    from pyarrow import types

    return bool(types.is_struct(column_type)) and _field_names(column_type) == ["path"]


def _field_names(struct_type: Any) -> list[str]:
    return [struct_type.field(index).name for index in range(struct_type.num_fields)]
