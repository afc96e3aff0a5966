"""Compiled files: deterministic, ASCII, two documents; only training tasks have accelerators."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from graftline.components import COMPONENTS
from graftline.pipelines import PIPELINES
from graftline.pipelines.cluster.compile import compile_components, compile_pipeline
from graftline.pipelines.placement import PROFILES
from graftline.pipelines.record import Variant
from graftline.runtime.errors import RefusedError

TRAINING = {"exec-pretrain", "exec-finetune", "exec-finetune-2"}


def documents(profile: str, out: Path, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    both = list(yaml.safe_load_all(compile_pipeline("transfer", profile=profile, out=out, **more).read_text()))
    assert len(both) == 2
    return both[0]["deploymentSpec"]["executors"], both[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    ("profile", "fan_out", "tournament"),
    [
        *((profile, False, False) for profile in PROFILES),
        ("gke-l4", True, False),
        ("gke-l4", False, True),
        ("gke-l4", True, True),
    ],
)
def test_compiling_twice_gives_the_same_ascii_bytes(
    name: str, profile: str, fan_out: bool, tournament: bool, tmp_path: Path
):
    one, two = (
        compile_pipeline(name, profile=profile, out=tmp_path / part, variant=Variant(fan_out, tournament)).read_bytes()
        for part in "ab"
    )
    assert one == two
    assert one.isascii()


@pytest.mark.parametrize(("profile", "fan_out"), [*((profile, False) for profile in PROFILES), ("gke-l4", True)])
def test_only_training_tasks_have_the_profiles_nodes_and_resources(profile: str, fan_out: bool, tmp_path: Path):
    executors, platform = documents(profile, tmp_path, variant=Variant(fan_out=fan_out))
    wanted = PROFILES[profile]
    assert executors.keys() > TRAINING
    for name, executor in executors.items():
        node = platform.get(name, {})
        resources = executor["container"].get("resources", {})
        assert node["activeDeadlineSeconds"] == str(wanted.timeout)
        if name not in TRAINING:
            assert not resources
            assert node.keys() == {"activeDeadlineSeconds"}
            continue
        assert resources["resourceCpuRequest"] == wanted.cpu
        assert resources["resourceMemoryLimit"] == wanted.memory
        assert node["emptyDirMounts"] == [
            {
                "medium": "Memory",
                "mountPath": "/dev/shm",
                "volumeName": "shared-memory",
                "sizeLimit": wanted.shared_memory,
            }
        ]
        accelerator = {"resourceType": wanted.accelerator, "resourceCount": str(wanted.count)}
        assert resources.get("accelerator", {}).items() >= (accelerator if wanted.count else {}).items()
        assert node.get("nodeSelector", {}).get("labels", {}) == dict(wanted.selector)
        assert {taint["key"] for taint in node.get("tolerations", [])} == set(wanted.tolerations)


def test_profiles_tolerate_their_accelerators_and_select_spot_nodes():
    for name, profile in PROFILES.items():
        assert ("nvidia.com/gpu" in profile.tolerations) == bool(profile.count), name
        assert profile.spot == name.endswith("-spot") == ("cloud.google.com/gke-spot" in profile.selector), name


def test_every_task_has_the_given_image(tmp_path: Path):
    executors, _ = documents("none", tmp_path, image="here/cpu@sha256:1", training_image="here/gpu@sha256:2")
    for name, executor in executors.items():
        assert executor["container"]["image"] == ("here/gpu@sha256:2" if name in TRAINING else "here/cpu@sha256:1"), (
            name
        )


@pytest.mark.parametrize(("fan_out", "count"), [(False, 13), (True, 14)])
def test_every_task_is_retried_and_all_but_three_are_cached(fan_out: bool, count: int, tmp_path: Path):
    path = compile_pipeline("transfer", profile="gke-t4", out=tmp_path, variant=Variant(fan_out=fan_out))
    steps = steps_of(path)
    assert len(steps) == count
    assert all(task["retryPolicy"]["maxRetryCount"] == PROFILES["gke-t4"].retries for task in steps.values())
    assert {name for name, task in steps.items() if not task["cachingOptions"]} == {"fingerprint", "release", "report"}


def steps_of(path: Path) -> dict[str, Any]:
    first = next(yaml.safe_load_all(path.read_text()))
    dags = [first["root"]["dag"], *(c["dag"] for c in first["components"].values() if "dag" in c)]
    tasks = [task for dag in dags for task in dag["tasks"].values()]
    return {task["taskInfo"]["name"]: task for task in tasks if "cachingOptions" in task}


def test_a_tournament_has_three_rungs_and_two_cuts(tmp_path: Path):
    path = compile_pipeline("transfer", profile="gke-t4", out=tmp_path, variant=Variant(tournament=True))
    assert path.name == "transfer-tournament.yaml"
    steps = steps_of(path)
    assert {"rung 1", "halve 1", "rung 2", "halve 2", "rung 3", "select", "confirm"} <= steps.keys()
    earlier = {name: step["inputs"].get("artifacts", {}).get("earlier", {}) for name, step in steps.items()}
    assert not earlier["rung 1"]
    assert not earlier["confirm"]
    assert all(list(earlier[name]) == ["componentInputArtifact"] for name in ("rung 2", "rung 3"))
    executors, _ = documents("gke-t4", tmp_path, variant=Variant(tournament=True))
    assert {name for name, executor in executors.items() if executor["container"].get("resources")} == {
        "exec-pretrain",
        "exec-finetune",
        *(f"exec-finetune-{number}" for number in (2, 3, 4)),
    }


def test_fan_out_decodes_shards_in_a_loop(tmp_path: Path):
    path = compile_pipeline("transfer", out=tmp_path, variant=Variant(fan_out=True))
    spec = next(yaml.safe_load_all(path.read_text()))
    loops = {
        name: list(spec["components"][task["componentRef"]["name"]]["dag"]["tasks"])
        for name, task in spec["root"]["dag"]["tasks"].items()
        if "parameterIterator" in task
    }
    assert sorted(loops.values()) == [["decode"], ["finetune"], ["finetune-2"], ["pretrain"]]
    assert not any("preprocess" in name for name in spec["components"])


def test_each_component_is_compiled_to_its_own_file(tmp_path: Path):
    paths = compile_components(tmp_path, image="here@sha256:3")
    assert [path.stem for path in paths] == list(COMPONENTS)
    for path in paths:
        executors = yaml.safe_load(path.read_text())["deploymentSpec"]["executors"]
        assert [executor["container"]["image"] for executor in executors.values()] == ["here@sha256:3"]
        assert "pip install" not in path.read_text()
    again = compile_components(tmp_path / "again", image="here@sha256:3")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


@pytest.mark.parametrize(
    ("name", "profile", "words"),
    [
        ("transfr", "none", "pipeline 'transfr' is not one of transfer"),
        ("transfer", "k80", "profile 'k80' is not one of none, gpu, gke-t4"),
    ],
)
def test_an_unknown_name_is_refused(name: str, profile: str, words: str, tmp_path: Path):
    with pytest.raises(RefusedError, match=words):
        compile_pipeline(name, profile=profile, out=tmp_path)
