"""Writes a config as YAML."""

from typing import Any

import yaml

from graftline.config import Config


def to_yaml(config: Config) -> str:
    """Returns the shortest YAML that `graftline run --config` reads as this config, without default values."""
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    if len(config.source) == 1 and "source" in plain:
        plain["source"] = plain["source"][0]
    if "strategies" in plain:
        options = [(s.name, s.model_dump(mode="json", exclude_defaults=True)) for s in config.strategies]
        plain["strategies"] = [{name: given} if given else name for name, given in options]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip()
