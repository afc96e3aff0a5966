"""Writes a config as YAML."""

from typing import Any

import yaml

from graftline.config import Config
from graftline.strategies.lookup import resolve


def to_yaml(config: Config) -> str:
    """Returns the shortest YAML that `graftline run --config` reads as this config, without default values."""
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    if len(config.source) == 1 and "source" in plain:
        plain["source"] = plain["source"][0]
    strategies = [resolve(choice) for choice in config.strategies]
    if strategies == [resolve(choice) for choice in Config.model_fields["strategies"].default]:
        plain.pop("strategies", None)
    else:
        options = [(choice.name, choice.model_dump(mode="json", exclude_defaults=True)) for choice in strategies]
        plain["strategies"] = [{name: given} if given else name for name, given in options]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip()
