"""Links, paths and test names in the documentation exist, and generated pages are up to date."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
FOLDERS = "graftline|components|pipelines|tests|benchmarks|docs|examples|images"
ROW = {"what", "ours", "peer", "ratio", "goal", "met", "unit", "rounds"}
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in [path.stem, *re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)]
}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_link_leads_to_an_existing_file(page: Path) -> None:
    for target in re.findall(r"]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_a_path_in_code_font_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for path in re.findall(rf"`((?:{FOLDERS})/[\w./*-]*)", text):
        if "NAME" not in path:
            assert list(ROOT.glob(path.rstrip("/."))), path


@pytest.mark.parametrize("page", ["docs/articles.md", "docs/reference/data-errors.md"])
def test_a_test_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\btest_\w+", text))
    assert len(named) > 15
    assert named <= TESTS, named - TESTS
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)", text):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_generated_pages_are_up_to_date() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], check=True)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "benchmarks").glob("*.json")), ids=lambda path: path.stem)
def test_a_benchmark_record_states_command_date_and_machine(path: Path) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["title"]
    assert record["command"]
    assert record["machine"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert all(row.keys() >= ROW for row in record.get("rows", []))
