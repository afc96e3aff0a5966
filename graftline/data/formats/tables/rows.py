"""Tables and their rows, before rows become samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import SplitName


class TableRow(NamedTuple):
    """One row with its unparsed values."""

    number: int
    """Number in its table, counted in `Table.unit`."""
    path: object = None
    label: object = None
    split: object = None
    group: object = None
    problem: str | None = None
    """Reason why the row cannot be read, or None."""
    load_image: Callable[[], BinaryIO] | None = None
    """Opens the image contained in the row; `path` is then only descriptive."""


@dataclass(frozen=True)
class Table:
    """One file of rows."""

    name: str
    """Path relative to the location, or the name of a single file. File names in rows are relative to its folder."""
    unit: str
    """What `TableRow.number` counts: line or row."""
    iter_rows: Callable[[], Iterator[TableRow]]
    split: SplitName | None = None
    """Split of rows without a split of their own, from the file name."""
    classes: Sequence[str] = ()
    """Classes that the file declares, in index order."""
    has_images: bool = False
    """Whether rows contain the images."""
    task: str = DEFAULT_TASK
    """Problem kind that labels are read as."""
    label_columns: Sequence[str] = ()
