"""Renders docs/reference/cli.md: every command with its arguments and options, from the typer application."""

from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from graftline.cli.app import app

HEAD = """# Command line

The page is generated from the `graftline` command by `make docs`; `graftline COMMAND --help` prints the same text.
`make install` puts the command at `.venv/bin/graftline`. Exit status: 0 success, 1 a step failed (or the gate refused,
or a file could not be read), 2 the config or the data was refused.
"""


def render() -> str:
    """Returns the page as Markdown."""
    return HEAD + "".join(f"\n{block}\n" for block in _blocks(get_command(app), "graftline"))


def _blocks(command: Any, name: str) -> Iterator[str]:
    for key, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "hidden", False):
            continue
        if getattr(inner, "commands", None):
            yield from _blocks(inner, f"{name} {key}")
            continue
        parameters = [parameter for parameter in inner.params if not getattr(parameter, "hidden", False)]
        yield f"## {name} {key}"
        yield f"```text\n{' '.join([name, key, *map(_usage, parameters)])}\n```"
        yield (inner.help or "").strip()
        if parameters:
            rows = "\n".join(f"| {_names(p)} | {_default(p)} | {_escape(p.help or '')} |" for p in parameters)
            yield f"| argument or option | default | |\n|---|---|---|\n{rows}"


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _value(parameter: Any) -> str:
    return "" if getattr(parameter, "is_flag", False) else f" {parameter.name.strip('_').upper()}"


def _usage(parameter: Any) -> str:
    if not _is_option(parameter):
        text = parameter.name.upper() + ("..." if parameter.nargs == -1 else "")
    else:
        text = f"{parameter.opts[0]}{_value(parameter)}"
    return text if parameter.required else f"[{text}]"


def _names(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.default in (None, False, [], ()):
        return ""
    return f"`{parameter.default}`"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
