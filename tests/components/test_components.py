"""A component is a docstring, imports and one call; nothing outside its body reaches a cluster."""

import ast
import inspect
from pathlib import Path

import pytest

import graftline.components
from graftline.components import COMPONENTS

FOLDER = Path(str(graftline.components.__file__)).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem not in {"__init__", "decorator", "step_names"})


def test_each_component_is_in_the_table():
    assert {path.stem.replace("_", "-") for path in FILES} == set(COMPONENTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_component_is_short_and_imports_inside_its_body(path: Path):
    tree = ast.parse(path.read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert [function.name for function in functions] == [path.stem]
    assert ast.get_docstring(functions[0])
    n_lines = (functions[0].end_lineno or 0) - functions[0].body[0].lineno + 1
    assert n_lines <= 30
    outside = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    used = {node.id for line in functions[0].body for node in ast.walk(line) if isinstance(node, ast.Name)}
    assert not used & outside, "module-level names do not reach a component's body"
    assert "annotations" not in outside
    assert not [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_component_calls_its_step_once(path: Path):
    function = next(node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef))
    block = next(node for node in function.body if isinstance(node, ast.With))
    called = [getattr(node.func, "id", "") for node in ast.walk(block) if isinstance(node, ast.Call)]
    assert called.count(path.stem) == 1
    assert ast.unparse(block.items[0].context_expr).startswith("events.step(")
    imports = [node.module for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]
    assert f"graftline.steps.{path.stem}" in imports, "inside of events.step, so that a failing import is logged"


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_passes_every_required_argument_of_its_step(name: str):
    module = pytest.importorskip(f"graftline.steps.{name.replace('-', '_')}")
    step = getattr(module, name.replace("-", "_"))
    text = (FOLDER / f"{name.replace('-', '_')}.py").read_text()
    for argument in inspect.signature(step).parameters.values():
        if argument.kind is inspect.Parameter.KEYWORD_ONLY and argument.default is inspect.Parameter.empty:
            assert f"{argument.name}=" in text, argument.name
