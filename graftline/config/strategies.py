"""A strategy as a config names it; `graftline.strategies` holds each strategy's options and checks them."""

from typing import Any

from pydantic import ConfigDict

from graftline.config.base import Settings


class StrategyChoice(Settings):
    """A strategy's name; its options are further keys."""

    model_config = ConfigDict(extra="allow")

    name: str


class StrategyOptions(StrategyChoice):
    """Base class of the strategies' options: a choice whose options are checked and complete."""

    model_config = ConfigDict(extra="forbid")


def expand_choice(item: Any) -> Any:
    """Turns a name, or a one-key mapping of a name to options, into a section with `name`."""
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        name, options = next(iter(item.items()))
        return {"name": name, **(options or {})}
    return item
