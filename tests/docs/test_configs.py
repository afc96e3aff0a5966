"""Every config in the documentation and in examples/ is valid."""

from pathlib import Path

import pytest
import yaml

from graftline.config import file
from tests.docs.pages import ROOT, configs

CONFIGS = configs()
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_the_readme_and_the_guides_show_configs() -> None:
    pages = {page for page, _ in CONFIGS}
    assert {"README.md", "docs/quickstart.md", "docs/guides/regression.md", "docs/guides/tournament.md"} <= pages


@pytest.mark.parametrize(("page", "config"), CONFIGS, ids=[f"{page}-{i}" for i, (page, _) in enumerate(CONFIGS)])
def test_a_config_in_the_documentation_is_valid(page: str, config: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    file.load(path, [], {})


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_config_is_valid(path: Path) -> None:
    file.load(path, [], {})
