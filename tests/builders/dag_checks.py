"""Finds in a compiled DAG what kfp 2.17 compiles without an error and then runs wrongly."""

from collections.abc import Iterator
from typing import Any

Tasks = dict[str, dict[str, Any]]
NEVER_EMPTY = {
    ("fingerprint", "Output"),
    ("plan", "Output"),
    ("select", "Output"),
    ("merge-sources", "Output"),
    ("halve", "Output"),
    ("halve-2", "Output"),
}
"""Outputs that contain at least one item by their steps' contracts: sources or shards, candidates, later rungs,
confirmations."""


def find_problems(spec: dict[str, Any]) -> list[str]:
    """Returns a description of each problem in a compiled pipeline (its first YAML document)."""
    components = spec["components"]
    problems = [
        f"importer: {name}" for name, executor in spec["deploymentSpec"]["executors"].items() if "importer" in executor
    ]
    for name_of_dag, dag in _dags(spec):
        tasks: Tasks = dag["tasks"]
        looping = name_of_dag.startswith("comp-for-loop")
        for name, task in tasks.items():
            iterator = task.get("parameterIterator") or task.get("artifactIterator")
            if iterator:
                problems += _loop(name, task, tasks, looping)
            problems += _policy(name, task)
            problems += _inputs(name, task, tasks, iterator, looping)
        problems += [
            f"OneOf on an artifact: {name_of_dag}.{name}"
            for name, output in dag.get("outputs", {}).get("artifacts", {}).items()
            if len(output.get("artifactSelectors", [])) > 1
        ]
        assert all(task["componentRef"]["name"] in components for task in tasks.values())
    return problems


def _dags(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "root", spec["root"]["dag"]
    yield from ((name, component["dag"]) for name, component in spec["components"].items() if "dag" in component)


def _loop(name: str, task: dict[str, Any], tasks: Tasks, looping: bool) -> Iterator[str]:
    if looping:
        yield f"nested loop: {name}"
    if "artifactIterator" in task:
        yield f"collected artifact into a second loop: {name}"
        return
    items = task["parameterIterator"]["items"]
    if "raw" in items:
        if items["raw"] == "[]":
            yield f"empty loop: {name}"
        return
    source = task["inputs"]["parameters"][items["inputParameter"]].get("taskOutputParameter")
    if source is None or (source["producerTask"], source["outputParameterKey"]) not in NEVER_EMPTY:
        yield f"loop that may be empty: {name}"
    if source is not None and source["outputParameterKey"] != "Output":
        yield f"loop over a named output, which kfp.local does not find: {name}"


def _policy(name: str, task: dict[str, Any]) -> Iterator[str]:
    policy = task.get("triggerPolicy", {})
    if policy.get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED":
        yield f"exit handler: {name}"
    condition = policy.get("condition", "")
    if "subvar" in condition or "loop-item-" in condition:
        yield f"If on a field of a dict item: {name}"
    elif condition and "-Output'" not in condition:
        yield f"If on a named output, which kfp.local does not find: {name}"


def _inputs(name: str, task: dict[str, Any], tasks: Tasks, iterator: Any, looping: bool) -> Iterator[str]:
    items = (iterator or {}).get("items", {}).get("inputParameter")
    for key, value in task.get("inputs", {}).get("parameters", {}).items():
        if iterator and key != items and "taskOutputParameter" in value:
            yield f"parameter of an earlier step into a loop, where kfp.local puts the item: {name}.{key}"
    both = {**task.get("inputs", {}).get("parameters", {}), **task.get("inputs", {}).get("artifacts", {})}
    for key, value in both.items():
        source = value.get("taskOutputArtifact") or value.get("taskOutputParameter") or {}
        producer = tasks.get(source.get("producerTask", ""), {})
        if "taskOutputArtifact" in value and ("parameterIterator" in producer or "artifactIterator" in producer):
            if iterator:
                yield f"collected artifact into a second loop: {name}.{key}"
            if looping:
                yield f"artifact collected inside a loop: {name}.{key}"
        if "condition" in producer.get("triggerPolicy", {}):
            yield f"step inside an If read from outside: {name}.{key}"
