"""The config on the page is the run's config."""

import pytest
import yaml

from graftline.config import Config
from graftline.report.run.config_yaml import to_yaml

CONFIGS = [
    {"target": {"data": "x"}},
    {"target": {"data": "x"}, "source": {}},
    {
        "target": {"data": "x", "classes": ["no", "1", "\u00fc: {a}"]},
        "source": [{"name": "a"}, {"data": "b"}],
        "strategies": ["zero", {"partial": {"freeze": 8, "carry": "top.3"}}, "full", {"structure": {"width": 0.5}}],
        "finetune": {"epochs": 3, "learning_rate": 1e-5},
        "gate": {"min_accuracy": 0.9},
        "delta": 0.02,
    },
]


@pytest.mark.parametrize("given", CONFIGS)
def test_yaml_gives_the_config_again(given: dict[str, object]) -> None:
    config = Config.model_validate(given)
    assert Config.model_validate(yaml.safe_load(to_yaml(config))) == config


def test_strategies_are_short() -> None:
    config = Config.model_validate(CONFIGS[2])
    assert yaml.safe_load(to_yaml(config))["strategies"][:2] == ["zero", {"partial": {"carry": "top.3", "freeze": 8}}]
