"""Images embedded in Parquet files, copied to unnamed temporary files one row group at a time.

Parquet has no random access to rows: a row group is read from its start. The whole group is therefore copied when one
of its rows is requested, and the most recent groups are kept, so reading in row order reads each group once. Memory
holds only the few pages that pyarrow reads at a time, whatever the size of a group.
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

from graftline.data.formats.archives.members import check_unpacked_size
from graftline.data.formats.tables.parquet_rows import open_parquet, refuse_damage
from graftline.runtime.errors import RefusedError

MAX_KEPT_BYTES = 2**30
"""Maximum size of the kept row groups; the last two are kept regardless."""
_BATCH_ROWS = 16
_NO_IMAGE = -1


@dataclass(frozen=True)
class _ParquetFile:
    path: Path
    leaf: str
    """Column of the encoded images, with a dot if it is in a struct."""
    group_starts: list[int]
    """First row of each row group."""


@dataclass
class _RowGroup:
    """Images of one row group, concatenated in a temporary file."""

    file: IO[bytes]
    starts: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    total: int = 0
    damage: str = "the file ends before this row"

    def append(self, image: Any) -> None:
        self.starts.append(self.total)
        self.sizes.append(_NO_IMAGE if image is None else len(image))
        if image is not None:
            self.file.write(image)
            self.total += len(image)

    def read(self, row: int) -> BytesIO:
        if row >= len(self.sizes):
            raise OSError(self.damage)
        if self.sizes[row] == _NO_IMAGE:
            raise OSError("no image in this row")
        return BytesIO(os.pread(self.file.fileno(), self.sizes[row], self.starts[row]))


class ParquetImages:
    """Images of several Parquet files; `load` is thread-safe."""

    def __init__(self, scratch: Path | None) -> None:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._scratch = scratch
        self._files: list[_ParquetFile] = []
        self._groups: OrderedDict[tuple[int, int], _RowGroup] = OrderedDict()
        self._lock = threading.Lock()

    def add_file(self, path: Path, leaf: str, group_rows: list[int]) -> int:
        """Adds a file and returns its number for `load`."""
        self._files.append(_ParquetFile(path, leaf, [0, *accumulate(group_rows)][:-1]))
        return len(self._files) - 1

    def load(self, file_number: int, row: int) -> BytesIO:
        """Returns the encoded image of a row.

        Raises:
            OSError: The row has no image, or it is damaged.
            RefusedError: The row group unpacks to too many bytes.
        """
        starts = self._files[file_number].group_starts
        number = bisect_right(starts, row) - 1
        with self._lock:
            group = self._groups.get((file_number, number))
            if group is None:
                group = self._groups[file_number, number] = self.copy_group(file_number, number)
                self._discard_old_groups()
            self._groups.move_to_end((file_number, number))
            return group.read(row - starts[number])

    def close(self) -> None:
        """Deletes the temporary files."""
        while self._groups:
            self._groups.popitem()[1].file.close()

    def _discard_old_groups(self) -> None:
        while len(self._groups) > 2 and sum(group.total for group in self._groups.values()) > MAX_KEPT_BYTES:
            self._groups.popitem(last=False)[1].file.close()

    def copy_group(self, file_number: int, number: int) -> _RowGroup:
        """Copies the images of a row group to a temporary file, up to the first damaged page."""
        source = self._files[file_number]
        group = _RowGroup(TemporaryFile(dir=self._scratch))  # noqa: SIM115 - closed when it is discarded
        packed = source.path.stat().st_size
        with open_parquet(source.path) as file:
            batches = file.iter_batches(_BATCH_ROWS, row_groups=[number], columns=[source.leaf], use_threads=False)
            while True:
                try:
                    with refuse_damage(source.path):
                        batch = next(batches, None)
                        images = _image_buffers(batch.column(0)) if batch is not None else []
                except RefusedError as error:
                    group.damage = str(error)
                    break
                if batch is None:
                    break
                for image in images:
                    check_unpacked_size(source.path, packed, group.total + (len(image) if image is not None else 0))
                    group.append(image)
        group.file.flush()
        return group


def _image_buffers(column: Any) -> list[Any]:
    """Returns the images of a batch as buffers, None for rows without an image."""
    return [value.as_buffer() for value in (column.field("bytes") if hasattr(column, "field") else column)]
