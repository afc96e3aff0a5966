"""What holds the project together: the wheel's packages, the lock, the README's links, the generated page."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_wheel_has_every_package() -> None:
    folders = {
        "graftline": ROOT / "graftline",
        "graftline.components": ROOT / "components",
        "graftline.pipelines": ROOT / "pipelines",
    }
    found = {
        ".".join([name, *path.parent.relative_to(folder).parts])
        for name, folder in folders.items()
        for path in folder.rglob("__init__.py")
    }
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_the_version_stands_once() -> None:
    import graftline

    assert graftline.__version__ == PROJECT["project"]["version"]
    assert f"## {graftline.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", ["requirements.lock", "images/requirements.lock"])
def test_a_lock_pins_by_hash_and_holds_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--hash=sha256:" in text


def test_the_lock_has_every_dependency() -> None:
    text = (ROOT / "requirements.lock").read_text()
    for need in PROJECT["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9-]+", need)
        assert name
        assert re.search(rf"^{name[0]}(\[.*])?==", text, re.MULTILINE), need


@pytest.mark.parametrize(
    "page", ["README.md", "examples/README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"]\(([^)#]+)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_tests_that_the_articles_page_names_exist() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"::(test_\w+)", (ROOT / "docs" / "articles.md").read_text()):
        assert f"def {name}(" in tests, name


def test_the_config_page_is_fresh() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "make_config.py", "--check"], check=True)


def test_every_test_that_the_fault_table_names_is_there() -> None:
    text = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in [path.stem, *re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.M)]
    }
    named = set(re.findall(r"\btest_\w+", text))
    assert len(named) > 60
    assert named <= there
