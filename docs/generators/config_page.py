"""Renders docs/config.md: every key of the config with its type, default and meaning."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from graftline.config import Config, StrategyChoice
from graftline.strategies.lookup import CHOICES

HEAD = """# Config

Every key of `graftline run --config FILE`. The page is generated from `graftline/config/` by `make docs`. Each key can
also be set on the command line: `--set finetune.epochs=5`, `--set source.0.init=DEFAULT`. Local paths are relative to
the current directory. An unknown key is refused, and the message names the closest known key.
"""


def render() -> str:
    """Returns the page as Markdown."""
    return HEAD + "".join(f"\n{line}\n" if line.startswith("#") else line + "\n" for line in _lines())


def _lines() -> Iterator[str]:
    queue: list[tuple[str, type[BaseModel]]] = [("", Config)]
    visited: set[type[BaseModel]] = set()
    while queue:
        path, model = queue.pop(0)
        if model in visited:
            continue
        visited.add(model)
        summary = (model.__doc__ or "").split("\n")[0]
        yield f"## {_heading(path)}{summary}"
        rows = [(name, field) for name, field in model.model_fields.items() if not _is_tag(name, field)]
        if rows:
            yield "| key | type | default | |"
            yield "|---|---|---|---|"
        else:
            yield "No options."
        for name, field in rows:
            text = (field.description or "").replace("\n", " ").replace("|", "\\|")
            yield f"| `{name}` | {_type(field)} | {_default(field)} | {text} |"
            queue += [(_path(path, name, inner), inner) for inner in _models(field.annotation)]


def _is_tag(name: str, field: Any) -> bool:
    """Returns whether a field is the constant that tells one strategy's options from another's."""
    return name == "name" and get_origin(field.annotation) is Literal


def _heading(path: str) -> str:
    label = {"pretrain": "`pretrain` and `finetune`"}.get(path, f"`{path}`")
    return f"{label}: " if path else ""


def _path(above: str, name: str, model: type[BaseModel]) -> str:
    tag = model.model_fields.get("name")
    part = tag.default if name == "strategies" and tag else name
    return f"{above}.{part}" if above else f"{name}.{part}" if part != name else name


def _models(annotation: Any) -> list[type[BaseModel]]:
    if annotation is StrategyChoice:
        return list(CHOICES.values())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _type(field: Any) -> str:
    limits = [
        f"{sign} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if hasattr(rule, name)
    ]
    return ", ".join([_annotation(field.annotation), *limits])


def _annotation(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotation(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is list:
        return f"list of {_annotation(arguments[0])}"
    if origin in (Union, types.UnionType):
        kinds = [_annotation(argument) for argument in arguments if argument is not type(None)]
        return "section" if set(kinds) == {"section"} else " or ".join(kinds)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {"float": "number", "int": "integer", "str": "text", "bool": "true or false"}[annotation.__name__]


def _default(field: Any) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, list):
        return "`[" + ", ".join(_short(item) for item in value) + "]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _short(item: Any) -> str:
    """Returns an element of a list default: a strategy's name, or a source's `init`."""
    if not isinstance(item, BaseModel):
        return str(item)
    name = getattr(item, "name", None)
    return str(name) if name else f"{{init: {item.init}}}"  # type: ignore[attr-defined]
