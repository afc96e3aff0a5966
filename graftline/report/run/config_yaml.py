"""A config as the YAML that gives it again."""

from typing import Any

import yaml

from graftline.config import Config


def to_yaml(config: Config) -> str:
    """The shortest YAML that `graftline run --config` reads as this config: what is at its default is left out."""
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True)
    if len(config.source) == 1 and "source" in plain:
        plain["source"] = plain["source"][0]
    if "strategies" in plain:
        options = [(s.name, s.model_dump(mode="json", exclude_defaults=True)) for s in config.strategies]
        plain["strategies"] = [{name: given} if given else name for name, given in options]
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip()
