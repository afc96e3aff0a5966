"""Every pipeline record agrees with the DAG that it describes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from graftline.config import Config
from graftline.pipelines import PIPELINES
from graftline.pipelines.cluster.compile import compile_pipeline
from graftline.pipelines.record import Pipeline, Variant

BASE: dict[str, Any] = {
    "target": {"data": "target"},
    "source": [{"data": "a"}, {"data": "b"}],
    "image_size": 16,
    "strategies": ["full"],
}
CONFIGS = {
    Variant(fan_out, tournament): Config.model_validate(
        BASE | {"shards": 2 if fan_out else 1, "budget": 1000 if tournament else None}
    )
    for fan_out in (False, True)
    for tournament in (False, True)
}
CASES = [
    pytest.param(pipeline, variant, id=f"{name}-{variant.fan_out}-{variant.tournament}")
    for name, pipeline in PIPELINES.items()
    for variant in pipeline.variants
]


def task_names(path: Path) -> set[str]:
    """Display names of all tasks in a compiled DAG that run a component."""
    spec = next(yaml.safe_load_all(path.read_text()))
    dags = [spec["root"]["dag"], *(c["dag"] for c in spec["components"].values() if "dag" in c)]
    return {
        task["taskInfo"]["name"]
        for dag in dags
        for task in dag["tasks"].values()
        if "executorLabel" in spec["components"][task["componentRef"]["name"]]
    }


@pytest.mark.parametrize("name", PIPELINES)
def test_the_name_is_the_key_and_the_description_one_sentence(name: str):
    assert PIPELINES[name].name == name
    assert re.fullmatch(r"[A-Z][^.!?]+\.", PIPELINES[name].description)


@pytest.mark.parametrize(("pipeline", "variant"), CASES)
def test_a_config_of_the_variant_is_run_by_it(pipeline: Pipeline, variant: Variant):
    assert pipeline.variant_for(CONFIGS[variant]) == variant


@pytest.mark.parametrize(("pipeline", "variant"), CASES)
def test_expected_steps_and_phases_are_the_tasks_of_the_dag(pipeline: Pipeline, variant: Variant, tmp_path: Path):
    path = compile_pipeline(pipeline.name, out=tmp_path, variant=variant)
    expected = {step.task for step in pipeline.expected_steps(CONFIGS[variant])}
    listed = {phase.task for phase in pipeline.phases(variant)}
    assert not expected & listed
    assert expected | listed == task_names(path)
    assert yaml.safe_load(path.read_text().split("\n---")[0])["pipelineInfo"]["description"] == pipeline.description


@pytest.mark.parametrize(("pipeline", "variant"), CASES)
def test_the_steps_that_a_record_names_are_expected(pipeline: Pipeline, variant: Variant):
    names = [step.name for step in pipeline.expected_steps(CONFIGS[variant])]
    assert len(names) == len(set(names))
    assert {phase.listed_by for phase in pipeline.phases(variant)} <= set(names)
    assert len(set(pipeline.dataset_steps) & set(names)) == 1
    assert {pipeline.report_step, pipeline.release_step} <= set(names)


@pytest.mark.parametrize(("pipeline", "variant"), CASES)
def test_the_workload_of_a_new_run_is_unknown(pipeline: Pipeline, variant: Variant):
    workload = pipeline.workload(CONFIGS[variant])
    workload.update(pipeline.report_step, {})
    assert not workload.known
    assert not workload.later


def test_the_local_runner_and_the_command_line_name_no_step_of_a_pipeline():
    """So that a new pipeline is one file: every step name with more than one word, and every phase."""
    root = Path(__file__).parents[2]
    files = [*(root / "pipelines" / "local").glob("*.py"), root / "pipelines" / "cluster" / "compile.py"]
    files += [root / "pipelines" / "record.py", root / "graftline" / "cli" / "app.py"]
    names = {
        name
        for pipeline in PIPELINES.values()
        for variant in pipeline.variants
        for name in [
            *(step.name for step in pipeline.expected_steps(CONFIGS[variant])),
            *(phase.name for phase in pipeline.phases(variant)),
        ]
    }
    commands_and_folders = {"release", "report", "gate"}
    for path in files:
        literals = set(re.findall(r'"([a-z0-9-]+)"', path.read_text()))
        assert not literals & (names - commands_and_folders), path
