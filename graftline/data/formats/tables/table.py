"""A CSV, TSV or JSON Lines table whose rows name image files and labels, alone or in the folder of its images."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from graftline.data.dataset import SplitName
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import Format, RawDataset
from graftline.data.formats.tables import samples
from graftline.data.formats.tables.columns import choose_roles, guess_roles
from graftline.data.formats.tables.discovery import list_candidates, select_tables
from graftline.data.formats.tables.row_files import RowFiles
from graftline.data.formats.tables.rows import Table
from graftline.data.formats.tables.samples import is_image_table, read_tables
from graftline.data.formats.tables.text_rows import detect_layout, iter_text_rows
from graftline.runtime.errors import RefusedError

_TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
_POSSIBLE_SUFFIXES = (".txt", ".json")
_MAX_OPENED = 64
_NUM_HEAD_ROWS = 10


def _detect(location: DataLocation) -> bool:
    if location.is_folder:
        try:
            return bool(_select_tables(location, RowFiles(location)))
        except RefusedError:
            return True  # there are several tables; opening them reports the problem
    has_suffix = location.path.suffix.lower() in _TABLE_SUFFIXES
    try:
        layout = detect_layout(location.path, location.columns) if location.is_file else None
    except (OSError, RefusedError):
        return has_suffix  # opening it reports the problem
    return layout is not None and (has_suffix or guess_roles(layout.header, location.columns) is not None)


def _list_external_files(location: DataLocation) -> list[str]:
    files = RowFiles(location)
    return samples.list_external_files(_open_tables(location, files), files)


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    files = RowFiles(location)
    yield read_tables(location.uri, _open_tables(location, files), files)


def _open_tables(location: DataLocation, files: RowFiles) -> list[Table]:
    if not location.is_folder:
        return [_open_table(location, location.path, location.path.name, None)]
    if tables := _select_tables(location, files):
        return [_open_table(location, location.fetch_file(name), name, split) for name, split in tables]
    for name in list_candidates(location, _TABLE_SUFFIXES)[:1]:
        _open_table(location, location.fetch_file(name), name, None)  # raises if columns are missing
        raise RefusedError(
            f"{location}: the first {_NUM_HEAD_ROWS} rows of {name} have no existing file with a label; use paths "
            "relative to the table's folder"
        )
    raise RefusedError(f"{location}: no table; expected a CSV or JSON Lines file next to the image folders")


def _select_tables(location: DataLocation, files: RowFiles) -> list[tuple[str, SplitName | None]]:
    names = list_candidates(location, (*_TABLE_SUFFIXES, *_POSSIBLE_SUFFIXES))[:_MAX_OPENED]
    location.fetch(names)

    def is_match(name: str) -> bool:
        path = location.path / name
        try:
            layout = detect_layout(path, location.columns)
            roles = guess_roles(layout.header, location.columns) if layout else None
        except (OSError, RefusedError):
            return False
        if layout is None or roles is None:
            return False
        iter_rows = partial(iter_text_rows, path, layout, roles)
        table = Table(name, "line", iter_rows, task=location.task, label_columns=roles.labels)
        try:
            return is_image_table(table, files, list(islice(table.iter_rows(), _NUM_HEAD_ROWS)))
        except RefusedError:
            return True  # the first rows are malformed; opening the table reports the problem

    return select_tables(location, names, is_match)


def _open_table(location: DataLocation, path: Path, name: str, split: SplitName | None) -> Table:
    layout = detect_layout(path, location.columns)
    where = f"{location}: {name}" if location.is_folder else location.uri
    if layout is None:
        raise RefusedError(f"{where}: not a text table; expected CSV, TSV or one JSON object per line, in UTF-8")
    if not layout.header.columns and layout.separator is not None:
        raise RefusedError(f"{where}: empty table; expected a header such as path,label and rows below it")
    roles = choose_roles(where, layout.header, location.columns)
    iter_rows = partial(iter_text_rows, path, layout, roles)
    return Table(name, "line", iter_rows, split, task=location.task, label_columns=roles.labels)


FORMAT = Format(
    "table",
    "a CSV, TSV or JSON Lines file with path (or gs:// URI), label[, split, group], alone or with its images",
    _detect,
    _open,
    tasks=("classification", "regression", "multilabel"),
    takes_columns=True,
    list_external_files=_list_external_files,
    reference_suffixes=(".csv", ".tsv", ".json", ".jsonl", ".ndjson"),
)
