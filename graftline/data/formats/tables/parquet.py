"""Parquet tables: rows contain images as Hugging Face's `datasets` writes them, or name image files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset
from graftline.data.formats.tables import samples
from graftline.data.formats.tables.columns import Roles, choose_roles, guess_roles
from graftline.data.formats.tables.discovery import list_candidates, select_tables
from graftline.data.formats.tables.parquet_images import ParquetImages
from graftline.data.formats.tables.parquet_rows import (
    MAGIC,
    count_group_rows,
    find_image_column,
    iter_parquet_rows,
    open_parquet,
    read_declared_classes,
    read_header,
    refuse_damage,
)
from graftline.data.formats.tables.row_files import RowFiles
from graftline.data.formats.tables.rows import Table, TableRow
from graftline.data.formats.tables.samples import is_image_table, read_tables
from graftline.runtime.errors import RefusedError

_SUFFIXES = (".parquet", ".parq", ".pq")
_NUM_HEAD_ROWS = 10


def _detect(location: DataLocation) -> bool:
    if not location.is_folder:
        return location.is_file and _is_parquet(location.path)
    files = RowFiles(location)
    return any(_is_image_table(location, files, name) for name in list_candidates(location, _SUFFIXES))


def _list_external_files(location: DataLocation) -> list[str]:
    files = RowFiles(location)
    with closing(ParquetImages(None)) as images:
        if location.is_folder:  # all files contain images if one does; the others need not be downloaded to check
            candidates = list_candidates(location, _SUFFIXES)
            first = next((name for name in candidates if _is_image_table(location, files, name)), None)
            if first is not None and _open_table(location, location.fetch_file(first), first, None, images).has_images:
                return []
        return samples.list_external_files(_open_tables(location, files, images), files)


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    files = RowFiles(location)
    with closing(ParquetImages(location.scratch)) as images:
        yield read_tables(location.uri, _open_tables(location, files, images), files)


def _open_tables(location: DataLocation, files: RowFiles, images: ParquetImages) -> list[Table]:
    if not location.is_folder:
        return [_open_table(location, location.path, location.path.name, None, images)]
    names = list_candidates(location, _SUFFIXES)
    location.fetch(names)
    if damaged := [name for name in names if not _is_parquet(location.path / name)]:
        raise RefusedError(
            f"{location}: {damaged[0]} does not start like a Parquet file; download it again or remove it (a short "
            "text file instead is a Git LFS pointer)"
        )
    selected = select_tables(location, names, partial(_is_image_table, location, files))
    if not selected:
        raise RefusedError(
            f"{location}: none of {len(names):,} Parquet files has images and labels; expected them at the top, in "
            "data/, or in folders named after splits"
        )
    tables = [_open_table(location, location.path / name, name, split, images) for name, split in selected]
    if len({table.has_images for table in tables}) > 1:
        raise RefusedError(f"{location}: some Parquet files contain images and others name files; separate them")
    return tables


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _is_image_table(location: DataLocation, files: RowFiles, name: str) -> bool:
    """Returns whether a file is a table of images, or one that cannot be read, which opening it then reports."""
    path = location.fetch_file(name)
    if not _is_parquet(path):
        return False
    try:
        with open_parquet(path) as file:
            roles = guess_roles(read_header(file, path), location.columns)
        if roles is None:
            return False
        with closing(ParquetImages(None)) as images:
            table = _table_of(location, path, name, roles, images)
            return is_image_table(table, files, list(islice(table.iter_rows(), _NUM_HEAD_ROWS)))
    except RefusedError:
        return True


def _open_table(location: DataLocation, path: Path, name: str, split: SplitName | None, images: ParquetImages) -> Table:
    where = f"{location}: {name}" if location.is_folder else location.uri
    with open_parquet(path) as file:
        roles = choose_roles(where, read_header(file, path), location.columns)
    return replace(_table_of(location, path, name, roles, images), split=split)


def _table_of(location: DataLocation, path: Path, name: str, roles: Roles, images: ParquetImages) -> Table:
    with open_parquet(path) as file, refuse_damage(path):
        column = find_image_column(file, roles.path)
        declared = read_declared_classes(file, roles.label)
        group_rows = count_group_rows(file)
    iter_rows = partial(iter_parquet_rows, path, roles, column)
    table = Table(name, "row", iter_rows, classes=declared, task=location.task, label_columns=roles.labels)
    if column.content is None:
        return table
    file_number = images.add_file(path, column.content, group_rows)

    def iter_rows_with_images() -> Iterator[TableRow]:
        for row in iter_rows():
            yield row._replace(load_image=partial(images.load, file_number, row.number))

    return replace(table, iter_rows=iter_rows_with_images, has_images=True)


FORMAT = Format(
    "parquet",
    "Parquet files with images in their rows, as Hugging Face's datasets writes them, or with the columns of a table",
    _detect,
    _open,
    tasks=("classification", "regression", "multilabel"),
    takes_columns=True,
    list_external_files=_list_external_files,
    reference_suffixes=(".parquet",),
)
