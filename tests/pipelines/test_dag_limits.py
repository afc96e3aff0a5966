"""No DAG has what kfp 2.17 compiles and then runs wrongly, and the check for each such problem finds it."""

from pathlib import Path

import pytest
import yaml
from kfp import compiler, dsl
from kfp.compiler.compiler_utils import InvalidTopologyException

from graftline.pipelines import PIPELINES
from graftline.pipelines.cluster.compile import compile_pipeline
from graftline.pipelines.record import Variant
from tests.builders import bad_dags
from tests.builders.dag_checks import find_problems

PROBLEMS = {
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


@pytest.mark.parametrize(("name", "variant"), [(p.name, v) for p in PIPELINES.values() for v in p.variants])
def test_no_pipeline_has_a_known_problem(name: str, variant: Variant, tmp_path: Path):
    path = compile_pipeline(name, out=tmp_path, variant=variant)
    assert find_problems(next(yaml.safe_load_all(path.read_text()))) == []


@pytest.mark.parametrize(("name", "words"), PROBLEMS.items())
def test_each_problem_is_found(name: str, words: str, tmp_path: Path):
    path = tmp_path / "bad.yaml"
    compiler.Compiler().compile(dsl.pipeline(getattr(bad_dags, name)), str(path))
    problems = find_problems(next(yaml.safe_load_all(path.read_text())))
    assert any(problem.startswith(words) for problem in problems), problems


@pytest.mark.parametrize("name", REFUSED_BY_KFP)
def test_kfp_refuses_to_compile(name: str, tmp_path: Path):
    with pytest.raises((ValueError, TypeError, InvalidTopologyException)):
        compiler.Compiler().compile(dsl.pipeline(getattr(bad_dags, name)), str(tmp_path / "bad.yaml"))
