"""Reads a `Config` from YAML and `--set KEY=VALUE`; error messages name the key and the expected value."""

import copy
import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from graftline.config import Config, Source
from graftline.runtime.cache_location import NOWHERE
from graftline.runtime.errors import RefusedError

LARGEST = 1_000_000
"""Maximum size of a config file in bytes; a config is a page or two."""


class _StrictLoader(yaml.SafeLoader):
    """YAML without repeated keys and aliases, whose effect is easy to overlook in a config."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"line {event.start_mark.line + 1}: aliases (*name) are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: the key {key!r} occurs more than once")
        return super().construct_mapping(node, deep)


def load(path: Path | None, overrides: Sequence[str] = (), base: dict[str, Any] | None = None) -> Config:
    """Reads and checks a config.

    Args:
        path: A YAML file; None starts from `base` alone.
        overrides: `KEY=VALUE` strings; KEY is dotted (`finetune.epochs`, `source.0.init`), VALUE is YAML.
        base: Values that the file and the overrides replace.

    Raises:
        RefusedError: An unreadable file, unknown keys, or values out of range; the message lists each.
    """
    values = copy.deepcopy(base or {})
    if path is not None:
        values |= _read(path)
    if any(text.startswith("source.0") for text in overrides) and isinstance(values.get("source", {}), dict):
        values["source"] = [values.get("source", {})]  # one source is equivalent to a list of one
    for text in overrides:
        _override(values, text)
    return check(values, where=str(path) if path else "config")


def check(values: dict[str, Any], where: str) -> Config:
    """Converts plain values to a `Config`; an error message lists everything that is wrong with them."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise RefusedError("\n".join(f"{where}: {describe_error(fault, Config)}" for fault in error.errors())) from None


def absolute(config: Config) -> Config:
    """Makes local paths absolute, because steps run in other working directories."""
    sources = [
        source.model_copy(
            update={"data": _absolute(source.data), "init": _absolute_init(source), "ledger": _absolute(source.ledger)}
        )
        for source in config.source
    ]
    target = config.target.model_copy(
        update={"data": _absolute(config.target.data), "ledger": _absolute(config.target.ledger)}
    )
    states = config.checkpoint_uri if config.checkpoint_uri == NOWHERE else _absolute(config.checkpoint_uri)
    return config.model_copy(
        update={"source": sources, "target": target, "store": _absolute(config.store), "checkpoint_uri": states}
    )


def _absolute(path: str | None) -> str | None:
    if path is None or "://" in path or path.startswith("builtin:"):
        return path
    return str(Path(path).expanduser().resolve())


def _absolute_init(source: Source) -> str | None:
    return source.init if source.init in ("random", "DEFAULT") else _absolute(source.init)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path}: cannot be read ({error.strerror}); give --config a YAML file") from None
    if len(text) > LARGEST:
        raise RefusedError(f"{path}: {len(text):,} bytes, a config has at most {LARGEST:,}; is it the right file?")
    try:
        values = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise RefusedError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (RecursionError, UnicodeDecodeError, ValueError) as error:
        raise RefusedError(f"{path}: not YAML: {error}") from None
    if values is None:
        raise RefusedError(f"{path}: empty, expected keys and values such as 'target:'")
    if not isinstance(values, dict):
        raise RefusedError(f"{path}: found {type(values).__name__}, expected keys and values such as 'target:'")
    return values


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key:
        raise RefusedError(f"--set {text}: expected KEY=VALUE, such as --set finetune.epochs=5")
    try:
        value = yaml.load(raw, Loader=_StrictLoader)
    except yaml.YAMLError:
        raise RefusedError(f"--set {text}: the value {raw!r} is not YAML; quote it") from None
    node: Any = values
    *path, last = parts = key.split(".")
    for part, following in zip(path, parts[1:], strict=True):
        node = _enter(node, part, text, [] if following.isdigit() else {})
    if isinstance(node, list):
        node[_index(node, last, text)] = value
    else:
        node[last] = value


def _enter(node: Any, part: str, text: str, empty: Any) -> Any:
    if isinstance(node, list):
        return node[_index(node, part, text)]
    child = node.setdefault(part, empty)
    if not isinstance(child, dict | list):
        raise RefusedError(f"--set {text}: {part!r} is {child!r}, which has no keys")
    return child


def _index(node: list[Any], part: str, text: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise RefusedError(f"--set {text}: {part!r} is not an index of a list of {len(node)}; indices start at 0")
    return int(part)


def describe_error(fault: Any, model: type[BaseModel], within: str = "") -> str:
    """Returns one of pydantic's errors as a sentence that names the key.

    Args:
        fault: From `ValidationError.errors()`.
        model: The validated model.
        within: The key of the validated section; empty for the whole config.
    """
    key = ".".join(str(part) for part in (*([within] if within else []), *fault["loc"])) or "config"
    if fault["type"] == "extra_forbidden":
        known = _sibling_keys(fault["loc"], model)
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys here: {', '.join(known)}"
        return f"{key}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{key}: missing; it has no default"
    if fault["type"] == "value_error":
        return f"{key}: {fault['ctx']['error']}".removeprefix("config: ")
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{key}: expected keys and values, found {fault['input']!r}"
    value = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
    return f"{key}: {fault['msg']}{value}"


def _sibling_keys(loc: Sequence[int | str], model: type[BaseModel]) -> list[str]:
    models: list[type[BaseModel]] = [model]
    for part in loc[:-1]:
        inner = [field.annotation for m in models for name, field in m.model_fields.items() if name == part]
        nested = [m for annotation in inner for m in _models_in(annotation)]
        named = [m for m in models if "name" in m.model_fields and m.model_fields["name"].default == part]
        models = nested or named or models
    return sorted({name for m in models for name in m.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models_in(argument)]
