"""Parquet tables: images' bytes in the rows as Hugging Face's `datasets` writes them, or rows that name files."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset
from graftline.data.formats.tables.columns import Roles, choose, guess
from graftline.data.formats.tables.discovery import files_at, pick
from graftline.data.formats.tables.files import RowFiles
from graftline.data.formats.tables.parquet import (
    MAGIC,
    classes,
    group_rows,
    header,
    image_column,
    opened,
    reading,
    rows,
)
from graftline.data.formats.tables.parquet_images import Images
from graftline.data.formats.tables.rows import Table, TableRow, named, raw_of, usable
from graftline.runtime.errors import RefusedError

_SUFFIXES = (".parquet", ".parq", ".pq")
_LOOK_ROWS = 10


def _found(place: DataLocation) -> bool:
    if not place.is_folder:
        return place.is_file and _begins(place.path)
    files = RowFiles(place)
    return any(_fits(place, files, name) for name in files_at(place, _SUFFIXES))


def _names(place: DataLocation) -> list[str]:
    files = RowFiles(place)
    with closing(Images(None)) as images:
        if place.is_folder:  # images in one mean images in all, and a bucket's others need not be fetched to know
            first = next((name for name in files_at(place, _SUFFIXES) if _fits(place, files, name)), None)
            if first is not None and _table(place, place.file(first), first, None, images).images:
                return []
        return named(_tables(place, files, images), files)


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    files = RowFiles(place)
    with closing(Images(place.scratch)) as images:
        yield raw_of(place.uri, _tables(place, files, images), files)


def _tables(place: DataLocation, files: RowFiles, images: Images) -> list[Table]:
    if not place.is_folder:
        return [_table(place, place.path, place.path.name, None, images)]
    names = files_at(place, _SUFFIXES)
    place.fetch(names)
    if odd := [name for name in names if not _begins(place.path / name)]:
        raise RefusedError(
            f"{place}: {odd[0]} does not begin as a Parquet file; download it again, or take it away "
            "(a short text in its place is a pointer of git-lfs)"
        )
    picked = pick(place, names, partial(_fits, place, files))
    if not picked:
        raise RefusedError(
            f"{place}: no Parquet file with images and classes among its {len(names):,}; expected them "
            "at its top, in data/, or in folders called after splits"
        )
    tables = [_table(place, place.path / name, name, split, images) for name, split in picked]
    if len({table.images for table in tables}) > 1:
        raise RefusedError(f"{place}: some Parquet files hold images and some name files; give them apart")
    return tables


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _fits(place: DataLocation, files: RowFiles, name: str) -> bool:
    """Whether it is a table of images; so is one that cannot be looked at, which reading then refuses."""
    path = place.file(name)
    if not _begins(path):
        return False
    try:
        with opened(path) as file:
            roles = guess(header(file, path), place.columns)
        if roles is None:
            return False
        with closing(Images(None)) as images:
            table = _rows_of(place, path, name, roles, images)
            return usable(table, files, list(islice(table.rows(), _LOOK_ROWS)))
    except RefusedError:
        return True


def _table(place: DataLocation, path: Path, name: str, split: SplitName | None, images: Images) -> Table:
    where = f"{place}: {name}" if place.is_folder else place.uri
    with opened(path) as file:
        roles = choose(where, header(file, path), place.columns)
    return replace(_rows_of(place, path, name, roles, images), split=split)


def _rows_of(place: DataLocation, path: Path, name: str, roles: Roles, images: Images) -> Table:
    with opened(path) as file, reading(path):
        column = image_column(file, roles.path)
        declared = classes(file, roles.label)
        groups = group_rows(file)
    if column.content is None:
        return Table(
            name, "row", partial(rows, path, roles, column), classes=declared, task=place.task, labels=roles.labels
        )
    number = images.add(path, column.content, groups)

    def held() -> Iterator[TableRow]:
        for row in rows(path, roles, column):
            yield row._replace(image=partial(images.load, number, row.number))

    return Table(name, "row", held, classes=declared, images=True, task=place.task, labels=roles.labels)


FORMAT = Format(
    "parquet",
    "Parquet files with images in their rows, as Hugging Face's datasets writes them, or with the columns of a table",
    _found,
    _read,
    _names,
)
