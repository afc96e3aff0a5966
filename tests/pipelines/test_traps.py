"""Every DAG keeps clear of what kfp 2.17 compiles and then gets wrong; each guard is shown to fire."""

from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl
from kfp.compiler.compiler_utils import InvalidTopologyException

from graftline.pipelines import PIPELINES
from graftline.pipelines.compile import compile_pipeline
from tests.builders import bad_dags
from tests.pipelines.traps import traps

FOUND = {
    "nested": "nested loop",
    "may_be_empty": "loop that may be empty",
    "named_list": "loop over a named output",
    "named_condition": "If on a named output",
    "dict_field": "If on a field of a dict item",
    "importing": "importer",
    "exit_handler": "exit handler",
    "one_of_artifacts": "OneOf on an artifact",
    "collected_in_a_loop": "artifact collected inside a loop",
    "parameter_into_a_loop": "parameter of an earlier step into a loop",
}
REFUSED_BY_KFP = ["empty", "collected_into_a_second_loop", "loop_over_collected_artifacts", "read_from_outside_an_if"]


@pytest.mark.parametrize("tournament", [False, True])
@pytest.mark.parametrize("fan_out", [False, True])
@pytest.mark.parametrize("name", PIPELINES)
def test_no_dag_steps_into_a_trap(name: str, fan_out: bool, tournament: bool, tmp_path: Path):
    path = compile_pipeline(name, out=tmp_path, fan_out=fan_out, tournament=tournament)
    assert traps(next(yaml.safe_load_all(path.read_text()))) == []


@pytest.mark.parametrize(("name", "words"), FOUND.items())
def test_each_trap_is_found(name: str, words: str, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    compiler.Compiler().compile(dsl.pipeline(getattr(bad_dags, name)), str(path))
    found = traps(next(yaml.safe_load_all(path.read_text())))
    assert any(trap.startswith(words) for trap in found), found


@pytest.mark.parametrize("name", REFUSED_BY_KFP)
def test_kfp_itself_still_refuses_these(name: str, tmp_path: Path):
    with pytest.raises((ValueError, TypeError, InvalidTopologyException)):
        compiler.Compiler().compile(dsl.pipeline(getattr(bad_dags, name)), str(tmp_path / "bad.yaml"))
