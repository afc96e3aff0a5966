"""Writes the generated pages of the documentation; with --check, exits 1 if one of them is out of date."""

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from generators import cli_page, config_page, speed_page

DOCS = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {
    "config.md": config_page.render,
    "reference/cli.md": cli_page.render,
    "speed.md": lambda: speed_page.render(DOCS / "benchmarks"),
}


def main() -> None:
    """Writes or checks every page of PAGES."""
    stale = []
    for name, render in PAGES.items():
        page, text = DOCS / name, render()
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(f"docs/{name}")
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"{', '.join(stale)}: out of date; run `make docs` and commit the result")


if __name__ == "__main__":
    main()
