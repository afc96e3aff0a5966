"""What benchmarks share: where the shared data lie, a table of rows, and the rows as JSON."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Row = dict[str, object]


def shared_data() -> Path:
    """The shared data sets, or the end of the program."""
    data = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parent.parent / "data"))
    if not data.is_dir():
        sys.exit(f"{data}: no shared data sets; set GRAFTLINE_DATA to their folder")
    return data


def show(rows: Sequence[Row], caption: str, json_file: Path | None, *, width: int = 160) -> None:
    """Prints rows of the same keys; writes them as JSON where a file is named."""
    table = Table(*rows[0], caption=caption)
    for each in rows:
        table.add_row(*map(str, each.values()))
    Console(width=width).print(table)
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1) + "\n")
