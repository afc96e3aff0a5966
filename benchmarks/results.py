"""Shared by the benchmarks: the location of the shared data, rows of results, their table and their JSON file."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

Row = dict[str, object]


def shared_data() -> Path:
    """Returns the folder of the shared datasets; exits if it does not exist."""
    data = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parent.parent / "data"))
    if not data.is_dir():
        sys.exit(f"{data}: no shared datasets; set GRAFTLINE_DATA to their folder")
    return data


def result_row(
    what: str,
    ours: float,
    peer: float | None = None,
    *,
    unit: str,
    rounds: int,
    ratio: float | None = None,
    goal: float | None = None,
    met: bool | None = None,
) -> Row:
    """Returns one result with the keys that every benchmark's JSON has.

    Args:
        what: The measurement, its peer, and which direction is better.
        ours: graftline's median.
        peer: The peer's median, or None without a peer.
        unit: Of both sides.
        rounds: Interleaved rounds.
        ratio: Of the two sides, in the direction that `what` states.
        goal: The ratio, or the difference, to reach.
        met: Whether it was reached.
    """
    return {
        "what": what,
        "ours": round(ours, 3),
        "peer": None if peer is None else round(peer, 3),
        "ratio": None if ratio is None else round(ratio, 2),
        "goal": goal,
        "met": met,
        "unit": unit,
        "rounds": rounds,
    }


def show(rows: Sequence[Row], caption: str, json_file: Path | None, *, width: int = 160) -> None:
    """Prints rows with the same keys, and writes them as JSON if a file is given."""
    table = Table(*rows[0], caption=caption)
    for result in rows:
        table.add_row(*map(str, result.values()))
    Console(width=width).print(table)
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
