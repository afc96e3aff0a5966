"""Writes docs/config.md from graftline/config/; with --check says whether it is fresh."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from graftline.config import Config

PAGE = Path(__file__).with_name("config.md")
HEAD = """# Config

Every key of `graftline run --config FILE`, made from `graftline/config/` by `make docs`. Each can be set on the
command line too: `--set finetune.epochs=5`, `--set source.0.init=DEFAULT`. Local places are relative to the folder that
the command runs in. An unknown key is refused, with the nearest known one.
"""


def main() -> None:
    """Writes or checks the page."""
    page = HEAD + "".join(f"\n{line}\n" if line.startswith("#") else line + "\n" for line in _lines())
    if "--check" in sys.argv:
        fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        sys.exit(None if fresh else "docs/config.md is not what graftline/config/ says; run `make docs`")
    PAGE.write_text(page, encoding="utf-8")


def _lines() -> Iterator[str]:
    waiting: list[tuple[str, type[BaseModel]]] = [("", Config)]
    seen: set[type[BaseModel]] = set()
    while waiting:
        place, model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        summary = (model.__doc__ or "").split("\n")[0]
        yield f"## {_heading(place)}{summary}"
        rows = [
            (name, field)
            for name, field in model.model_fields.items()
            if not (name == "name" and get_origin(field.annotation) is Literal)
        ]
        if rows:
            yield "| key | type | default | |"
            yield "|---|---|---|---|"
        else:
            yield "No options."
        for name, field in rows:
            text = (field.description or "").replace("\n", " ").replace("|", "\\|")
            yield f"| `{name}` | {_type(field)} | {_default(field)} | {text} |"
            waiting += [(_place(place, name, inner), inner) for inner in _models(field.annotation)]


def _heading(place: str) -> str:
    places = {"pretrain": "`pretrain` and `finetune`"}.get(place, f"`{place}`")
    return f"{places}: " if place else ""


def _place(above: str, name: str, model: type[BaseModel]) -> str:
    own = model.model_fields.get("name")
    part = own.default if name == "strategies" and own else name
    return f"{above}.{part}" if above else f"{name}.{part}" if part != name else name


def _models(annotation: Any) -> list[type[BaseModel]]:
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
    return {"float": "number", "int": "whole number", "str": "text", "bool": "true or false"}[annotation.__name__]


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
    if not isinstance(item, BaseModel):
        return str(item)
    if getattr(item, "name", None):
        return str(item.name)  # type: ignore[attr-defined]
    return (
        "{"
        + ", ".join(
            f"{name}: {value}" for name, value in item.model_dump(exclude_defaults=False).items() if name == "init"
        )
        + "}"
    )


if __name__ == "__main__":
    main()
