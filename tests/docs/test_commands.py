"""Every command line in the documentation exists."""

import re

import pytest
from typer.main import get_command

from graftline.cli.app import app
from tests.docs.pages import ROOT, commands

GRAFTLINE = commands("graftline")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("page", "arguments"), GRAFTLINE, ids=[f"{page}:{' '.join(a)}" for page, a in GRAFTLINE])
def test_a_graftline_command_has_a_known_name_and_known_options(page: str, arguments: list[str]) -> None:
    name, *rest = arguments
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, rest):
        pass


def test_a_make_target_in_the_documentation_exists() -> None:
    named = {arguments[0] for _, arguments in commands("make")}
    assert {"demo", "test"} <= named
    assert named <= TARGETS


def test_an_option_in_running_text_exists() -> None:
    known = {
        option
        for command in get_command(app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in [*parameter.opts, *parameter.secondary_opts]
    }
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(--[a-z-]+)`", text)) <= known
