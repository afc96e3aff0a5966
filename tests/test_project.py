"""The project's files agree with each other: packages of the wheel, version, lock files."""

import re
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


def test_the_version_is_that_of_pyproject_and_changelog() -> None:
    import graftline

    assert graftline.__version__ == PROJECT["project"]["version"]
    assert f"## {graftline.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "lock",
    ["requirements.lock", "requirements-install.lock", "images/requirements.lock", "benchmarks/requirements.lock"],
)
def test_lock_files_pin_by_hash_and_contain_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "--hash=sha256:" in text


def test_the_lock_has_every_dependency() -> None:
    text = (ROOT / "requirements.lock").read_text()
    for need in PROJECT["project"]["dependencies"]:
        name = re.match(r"[A-Za-z0-9-]+", need)
        assert name
        assert re.search(rf"^{name[0]}(\[.*])?==", text, re.MULTILINE), need
