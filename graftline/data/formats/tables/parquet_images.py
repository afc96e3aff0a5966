"""Images that stand in a Parquet file's rows, brought to unnamed files on disk one row group at a time.

Parquet has no way to one row: a row group is read from its start. So the whole group is spooled when one of its rows
is asked for, and the last groups are kept, which in the order of the rows reads each group once. Memory holds what
pyarrow reads at a time, a few pages, whatever the size of a group.
"""

import os
import threading
from array import array
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from graftline.data.formats.archives.members import check_size
from graftline.data.formats.tables.parquet import opened, reading
from graftline.runtime.errors import RefusedError

KEPT_BYTES = 2**30
"""Of spooled row groups; the last two are kept however large."""
_BATCH = 16
_NONE = -1


@dataclass(frozen=True)
class _Source:
    path: Path
    leaf: str
    """The column of bytes, dotted where it is in a struct."""
    starts: list[int]
    """First row of each row group."""


@dataclass
class _Group:
    """A row group's images, one behind the other."""

    spool: IO[bytes]
    starts: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    total: int = 0
    damage: str = "the file ends before this row"

    def add(self, image: Any) -> None:
        self.starts.append(self.total)
        self.sizes.append(_NONE if image is None else len(image))
        if image is not None:
            self.spool.write(image)
            self.total += len(image)

    def piece(self, row: int) -> BytesIO:
        if row >= len(self.sizes):
            raise OSError(self.damage)
        if self.sizes[row] == _NONE:
            raise OSError("no image in this row")
        return BytesIO(os.pread(self.spool.fileno(), self.sizes[row], self.starts[row]))


class Images:
    """Images of several files; `load` may be called from several threads."""

    def __init__(self, scratch: Path | None) -> None:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._sources: list[_Source] = []
        self._groups: OrderedDict[tuple[int, int], _Group] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, path: Path, leaf: str, group_rows: list[int]) -> int:
        """Takes a file, and gives its number for `load`."""
        self._sources.append(_Source(path, leaf, [0, *accumulate(group_rows)][:-1]))
        return len(self._sources) - 1

    def load(self, source: int, row: int) -> BytesIO:
        """Reads one image's bytes.

        Raises:
            OSError: None in this row, or damaged.
            RefusedError: The row group unpacks to far too much.
        """
        starts = self._sources[source].starts
        number = bisect_right(starts, row) - 1
        with self._lock:
            group = self._groups.get((source, number))
            if group is None:
                group = self._groups[source, number] = self._spooled(self._sources[source], number)
                self._shrink()
            self._groups.move_to_end((source, number))
            return group.piece(row - starts[number])

    def close(self) -> None:
        """Gives the disk back."""
        while self._groups:
            self._groups.popitem()[1].spool.close()

    def _shrink(self) -> None:
        while len(self._groups) > 2 and sum(group.total for group in self._groups.values()) > KEPT_BYTES:
            self._groups.popitem(last=False)[1].spool.close()

    def _spooled(self, source: _Source, number: int) -> _Group:
        group = _Group(TemporaryFile(dir=self._scratch))  # noqa: SIM115 - closed when it is no longer kept
        packed = source.path.stat().st_size
        with opened(source.path) as file:
            batches = file.iter_batches(_BATCH, row_groups=[number], columns=[source.leaf], use_threads=False)
            while True:
                try:
                    with reading(source.path):
                        batch = next(batches, None)
                        images = _images(batch.column(0)) if batch is not None else []
                except RefusedError as error:
                    group.damage = str(error)
                    break
                if batch is None:
                    break
                for image in images:
                    check_size(source.path, packed, group.total + (len(image) if image is not None else 0))
                    group.add(image)
        group.spool.flush()
        return group


def _images(column: Any) -> list[Any]:
    """A batch's images as buffers, None where there is none."""
    return [value.as_buffer() for value in (column.field("bytes") if hasattr(column, "field") else column)]
