"""Renders docs/speed.md from docs/benchmarks/*.json, which `make bench` writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD = """# Benchmarks

The page is generated from `docs/benchmarks/*.json` by `make docs`; `make bench` measures again. Each section states its
command, date and machine. Ratios are taken in one run with interleaved rounds and medians, after checking that both
sides are equally accurate. Absolute times on shared cores mean little on other machines; ratios mean more. Missed goals
are listed too.
"""


def render(folder: Path) -> str:
    """Returns the page as Markdown.

    Args:
        folder: Holds a JSON file for each section, in the order of their names.
    """
    sections = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return HEAD + "".join(f"\n{block}\n" for section in sections for block in _section(section))


def _section(section: dict[str, Any]) -> Iterator[str]:
    yield f"## {section['title']}"
    yield f"```text\n{section['command']}\n```"
    yield f"{section['date']}, {section['machine']}."
    yield from section.get("text", [])
    if rows := section.get("rows"):
        yield _table(["what", "graftline", "peer", "ratio", "goal", "met"], [_cells(row) for row in rows])
    for table in section.get("tables", []):
        yield _table(table["columns"], table["rows"])
    yield from section.get("notes", [])


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: dict[str, Any]) -> list[str]:
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    sides = [f"{_number(row[side])} {row['unit']}" if row[side] is not None else "" for side in ("ours", "peer")]
    return [row["what"], *sides, _number(row["ratio"]), _number(row["goal"]), met]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,g}" if abs(value) < 1e6 else f"{value:,.0f}"
