"""Reads the Markdown pages: their fenced blocks, their commands and their configs."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
        ROOT / "examples" / "README.md",
        ROOT / "images" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    text: str


def blocks(language: str, pages: list[Path] = PAGES) -> list[Block]:
    """Returns the fenced blocks of a language."""
    return [
        Block(page, match[1], match[2])
        for page in pages
        for match in _FENCE.finditer(page.read_text(encoding="utf-8"))
        if match[1] == language
    ]


def commands(program: str, pages: list[Path] = PAGES) -> list[tuple[str, list[str]]]:
    """Returns (page, arguments) of each command line in a shell block that starts with `program`."""
    lines = [
        (block.page.relative_to(ROOT).as_posix(), shlex.split(line, comments=True))
        for block in blocks("bash", pages)
        for line in block.text.splitlines()
    ]
    return [(page, words[1:]) for page, words in lines if words and Path(words[0]).name == program]


def configs(pages: list[Path] = PAGES) -> list[tuple[str, dict[str, object]]]:
    """Returns (page, parsed config) of each YAML block that is a run's config."""
    return [
        (block.page.relative_to(ROOT).as_posix(), parsed)
        for block in blocks("yaml", pages)
        if "target" in (parsed := yaml.safe_load(block.text))
    ]
