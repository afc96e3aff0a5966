"""A CSV, TSV or JSON-lines table whose rows name image files and classes, alone or in the folder of its images."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset
from graftline.data.formats.tables.columns import choose, guess
from graftline.data.formats.tables.discovery import files_at, pick
from graftline.data.formats.tables.files import RowFiles
from graftline.data.formats.tables.rows import Table, named, raw_of, usable
from graftline.data.formats.tables.text import layout, rows
from graftline.runtime.errors import RefusedError

_SURE = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
_MAYBE = (".txt", ".json")
_LOOK_FILES = 64
_LOOK_ROWS = 10


def _found(place: DataLocation) -> bool:
    if place.is_folder:
        try:
            return bool(_picked(place, RowFiles(place)))
        except RefusedError:
            return True  # several tables: reading tells which
    sure = place.path.suffix.lower() in _SURE
    try:
        form = layout(place.path, place.columns) if place.is_file else None
    except (OSError, RefusedError):
        return sure  # reading tells what is wrong
    return form is not None and (sure or guess(form.header, place.columns) is not None)


def _names(place: DataLocation) -> list[str]:
    files = RowFiles(place)
    return named(_tables(place, files), files)


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    files = RowFiles(place)
    yield raw_of(place.uri, _tables(place, files), files)


def _tables(place: DataLocation, files: RowFiles) -> list[Table]:
    if not place.is_folder:
        return [_table(place, place.path, place.path.name, None)]
    if picked := _picked(place, files):
        return [_table(place, place.file(name), name, split) for name, split in picked]
    looked = files_at(place, _SURE)[:_LOOK_FILES]
    for name in looked[:1]:
        _table(place, place.file(name), name, None)  # refuses with what it lacks
        raise RefusedError(
            f"{place}: the first {_LOOK_ROWS} rows of {name} name no file that is there, with a label; "
            "names start at the table's folder"
        )
    raise RefusedError(f"{place}: no table in it; expected a CSV or JSON-lines file at its top, beside the images")


def _picked(place: DataLocation, files: RowFiles) -> list[tuple[str, SplitName | None]]:
    names = files_at(place, (*_SURE, *_MAYBE))[:_LOOK_FILES]
    place.fetch(names)

    def fit(name: str) -> bool:
        try:
            form = layout(place.path / name, place.columns)
            roles = guess(form.header, place.columns) if form else None
        except (OSError, RefusedError):
            return False
        if form is None or roles is None:
            return False
        table = Table(name, "line", partial(rows, place.path / name, form, roles), task=place.task, labels=roles.labels)
        try:
            return usable(table, files, list(islice(table.rows(), _LOOK_ROWS)))
        except RefusedError:
            return True  # broken in its first rows: reading tells

    return pick(place, names, fit)


def _table(place: DataLocation, path: Path, name: str, split: SplitName | None) -> Table:
    form = layout(path, place.columns)
    where = f"{place}: {name}" if place.is_folder else place.uri
    if form is None:
        raise RefusedError(f"{where}: not a table of text; expected CSV, TSV or a JSON object a line, in UTF-8")
    if not form.header.columns and form.separator is not None:
        raise RefusedError(f"{where}: an empty table; expected a header such as path,label and rows below it")
    roles = choose(where, form.header, place.columns)
    return Table(name, "line", partial(rows, path, form, roles), split, task=place.task, labels=roles.labels)


FORMAT = Format(
    "table",
    "a CSV, TSV or JSON-lines file of path (or gs:// URI), label[, split, group], by itself or with its images",
    _found,
    _read,
    _names,
)
