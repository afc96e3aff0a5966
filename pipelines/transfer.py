"""The main pipeline: sources to candidates, and the best candidate evaluated, exported, judged and released.

KFP's cache identifies artifacts by name only, so every step also takes the digests of the artifacts that it reads. Two
limitations of kfp.local (2.17) shape the rest. It finds the list of a loop and the value of an `If` only in an output
called `Output`. And inside a loop it replaces every parameter that comes from an earlier step by the loop's item, so no
such parameter enters a loop, and the items contain the digests.

The variants differ in their tasks, but the same jobs make the same artifacts with the same digests, so that one variant
finds the results of another in the cache.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from graftline import components as c
from graftline.config import Config
from graftline.config.jobs import FinetuneJob, RaceJob, decode_jobs, jobs_of
from graftline.pipelines.placement import Placement
from graftline.pipelines.record import ExpectedStep, Phase, Pipeline, Variant
from graftline.pipelines.training_examples import CONTROL, later_rung_examples, training_examples

Outputs = Mapping[str, Any]
"""Outputs of a task by name."""

DESCRIPTION = "Fine-tunes source models for a target task, tests whether that helped, and releases the best model."


def build(on: Placement, variant: Variant) -> GraphComponent:
    """Builds the DAG.

    Args:
        on: Nodes and images.
        variant: Whether decoding fans out, and whether candidates train in rungs.

    Returns:
        A KFP pipeline with one parameter, `config`: a run's config as JSON.
    """

    @dsl.pipeline(name="graftline-transfer", description=DESCRIPTION)
    def pipeline(config: str) -> None:
        task = c.fingerprint(config=config, fan_out=variant.fan_out, tournament=variant.tournament)
        jobs = on.any_node(task, "fingerprint").set_caching_options(False).outputs
        target, pretrained = (_decode_in_parallel if variant.fan_out else _preprocess)(jobs, on)
        plan = on.any_node(
            c.plan(
                job=jobs["plan"],
                checkpoints=dsl.Collected(pretrained["checkpoint"]),
                checkpoint_digests=dsl.Collected(pretrained["digest"]),
                dataset=target["dataset"],
                dataset_digest=target["digest"],
            ),
            "plan",
        ).outputs
        inputs = {"dataset": target["dataset"], "sources": plan["sources"]}
        finalists = (_train_in_rungs if variant.tournament else _train)(plan, inputs, on)
        task = c.select(job=jobs["select"], inputs=plan["digest"], **finalists)
        selected = on.any_node(task, "select").outputs
        with dsl.ParallelFor(selected["Output"], name="confirmations") as candidate:
            task = c.finetune(candidate=candidate, phase="confirm", **inputs)
            confirmed = on.training_node(task, "confirm").outputs
        _test_and_release(jobs, inputs, selected, confirmed, on)

    return pipeline


def _preprocess(jobs: Outputs, on: Placement) -> tuple[Outputs, Outputs]:
    """Decodes the data of each task in one step; returns the outputs of the target's data and of pretraining."""
    target = on.any_node(c.preprocess(job=jobs["target"]), "preprocess target").outputs
    with dsl.ParallelFor(jobs["Output"], name="sources") as source:
        data = on.any_node(c.preprocess(job=source, target=target["dataset"]), "preprocess source").outputs
        task = c.pretrain(job=data["pretrain"], dataset=data["dataset"])
        pretrained = on.training_node(task, "pretrain").outputs
    return target, pretrained


def _decode_in_parallel(jobs: Outputs, on: Placement) -> tuple[Outputs, Outputs]:
    """Decodes the data of each task in several steps; merge_sources, as a collected artifact enters no second loop."""
    with dsl.ParallelFor(jobs["Output"], name="shards") as shard:
        decoded = on.any_node(c.decode(job=shard), "decode shard").outputs
    target = on.any_node(c.merge(job=jobs["target"], **_collect_parts(decoded)), "merge target").outputs
    task = c.merge_sources(
        jobs=jobs["sources"], target=target["dataset"], target_digest=target["digest"], **_collect_parts(decoded)
    )
    sources = on.any_node(task, "merge sources").outputs
    with dsl.ParallelFor(sources["Output"], name="sources") as source:
        pretrained = on.training_node(c.pretrain(job=source, dataset=sources["dataset"]), "pretrain").outputs
    return target, pretrained


def _collect_parts(decoded: Outputs) -> Outputs:
    """Returns new objects on each call: kfp's compiler fails on a Collected that two tasks share."""
    return {"parts": dsl.Collected(decoded["part"]), "part_digests": dsl.Collected(decoded["digest"])}


def _train(plan: Outputs, inputs: Outputs, on: Placement) -> Outputs:
    """Trains every candidate fully; returns the arguments of select."""
    with dsl.ParallelFor(plan["Output"], name="candidates") as candidate:
        task = c.finetune(candidate=candidate, phase="finetune", **inputs)
        trained = on.training_node(task, "finetune").outputs
    return _collect_candidates(trained)


def _train_in_rungs(plan: Outputs, inputs: Outputs, on: Placement) -> Outputs:
    """Trains in three rungs with a cut after the first and the second; the saved states of each rung's survivors are
    one artifact, as the sources are."""
    with dsl.ParallelFor(plan["Output"], name="rung 1") as candidate:
        task = c.finetune(candidate=candidate, phase="rung1", **inputs)
        trained = on.training_node(task, "rung 1").outputs
    first = on.any_node(c.halve(job=plan["race"], **_collect_candidates(trained)), "halve 1").outputs
    with dsl.ParallelFor(first["Output"], name="rung 2") as candidate:
        task = c.finetune(candidate=candidate, phase="rung2", earlier=first["race"], **inputs)
        trained = on.training_node(task, "rung 2").outputs
    task = c.halve(
        job=plan["race"], before=first["race"], before_digest=first["digest"], **_collect_candidates(trained)
    )
    second = on.any_node(task, "halve 2").outputs
    with dsl.ParallelFor(second["Output"], name="rung 3") as candidate:
        task = c.finetune(candidate=candidate, phase="rung3", earlier=second["race"], **inputs)
        trained = on.training_node(task, "rung 3").outputs
    return {**_collect_candidates(trained), "race": second["race"], "race_digest": second["digest"]}


def _collect_candidates(trained: Outputs) -> Outputs:
    return {"candidates": dsl.Collected(trained["checkpoint"]), "candidate_digests": dsl.Collected(trained["digest"])}


def _test_and_release(jobs: Outputs, inputs: Outputs, selected: Outputs, confirmed: Outputs, on: Placement) -> None:
    """Evaluates, exports, judges and reports the chosen candidate; releases it if the gate promotes it."""
    task = c.evaluate(
        job=jobs["evaluate"],
        inputs=selected["digest"],
        chosen=selected["chosen"],
        control=selected["control"],
        confirmations=dsl.Collected(confirmed["checkpoint"]),
        confirmation_digests=dsl.Collected(confirmed["digest"]),
        **inputs,
    )
    evaluated = on.any_node(task, "evaluate").outputs
    read = {"dataset": inputs["dataset"], "evaluation": evaluated["metrics"]}
    task = c.export_onnx(job=jobs["export_onnx"], inputs=evaluated["digest"], chosen=selected["chosen"], **read)
    exported = on.any_node(task, "export ONNX").outputs
    read |= {"onnx": exported["onnx"]}
    gate = on.any_node(c.gate(job=jobs["gate"], inputs=exported["digest"], **read), "gate").outputs
    read |= {"chosen": selected["chosen"], "judgement": gate["judgement"]}
    with dsl.If(gate["Output"] == "promote", name="promoted"):
        on.any_node(c.release(job=jobs["release"], **read), "release").set_caching_options(False)
    task = c.report(
        job=jobs["report"],
        sources=inputs["sources"],
        selection=selected["selection"],
        control=selected["control"],
        **read,
    )
    on.any_node(task, "report").set_caching_options(False)


def variant_for(config: Config) -> Variant:
    """Returns the variant that runs a config."""
    return Variant(fan_out=config.shards > 1, tournament=config.races)


def expected_steps(config: Config) -> list[ExpectedStep]:
    """Returns the steps that a config determines, in the order in which they start."""
    variant = variant_for(config)
    labels = [source.label for source in config.source]
    data: list[tuple[str, str]] = []
    if variant.fan_out:
        shards = decode_jobs(jobs_of(config, {}), config.shards)
        data += [("decode shard", f"decode-{job.name}") for job in shards]
        data += [("merge target", "merge-target"), ("merge sources", "merge-sources")]
        data += [("pretrain", f"pretrain-{label}") for label in labels]
    else:
        data.append(("preprocess target", "preprocess-target"))
        for label in labels:
            data += [("preprocess source", f"preprocess-{label}"), ("pretrain", f"pretrain-{label}")]
    cuts = [("halve 1", "halve-1"), ("halve 2", "halve-2")] if variant.tournament else []
    last = [("export ONNX", "export-onnx"), ("gate", "gate"), ("release", "release"), ("report", "report")]
    steps = [("fingerprint", "fingerprint"), *data, ("plan", "plan"), *cuts]
    return [ExpectedStep(*step) for step in [*steps, ("select", "select"), ("evaluate", "evaluate"), *last]]


def phases(variant: Variant) -> list[Phase]:
    """Returns the loops whose steps are listed during the run."""
    rungs = [Phase("rung 1", "rung1", "plan"), Phase("rung 2", "rung2", "halve-1"), Phase("rung 3", "rung3", "halve-2")]
    trainings = rungs if variant.tournament else [Phase("finetune", "finetune", "plan")]
    return [*trainings, Phase("confirm", "confirm", "select")]


class TransferWorkload:
    """Training examples of a run's fine-tuning, the rungs and confirmations that are not listed yet included."""

    def __init__(self, config: Config) -> None:
        self.known: dict[str, float] = {}
        self.later: dict[str, float] = {}
        self._further_seeds = config.confirm_seeds - 1
        self._phases = {phase.listed_by: phase.name for phase in phases(variant_for(config))}
        self._race = RaceJob()

    def update(self, step: str, outputs: Outputs) -> None:
        """Reads the jobs that a step listed."""
        if step not in self._phases or not outputs.get("Output"):
            return
        phase = self._phases[step]
        jobs = [FinetuneJob.model_validate_json(text) for text in outputs["Output"]]
        if step == "plan":
            self._race = RaceJob.model_validate_json(outputs["race"])
            longest = max(job.longest for job in jobs)
            rungs = enumerate(later_rung_examples(self._race, longest), start=2)
            confirmations = self._further_seeds * (1 + CONTROL) * longest
            self.later = {f"rung{number}": examples for number, examples in rungs} | {"confirm": confirmations}
        rung = int(phase.removeprefix("rung")) if phase.startswith("rung") else 1
        self.known = self.known | {f"{phase}-{job.name}": training_examples(job, self._race, rung) for job in jobs}
        self.later = {name: examples for name, examples in self.later.items() if name != phase}


def describe(config: Config) -> Iterator[str]:
    """Checks the data of a config; yields the tasks with the fingerprints of their data, and the candidates."""
    from graftline.selection.tournament.summary import told
    from graftline.steps.fingerprint import fingerprint

    jobs = fingerprint(config)
    labels = [source.pretrain.label for source in jobs.sources]
    yield f"target {jobs.target.label}: {jobs.target.fingerprint}"
    for source in jobs.sources:
        yield f"source {source.pretrain.label}: {source.pretrain.init}, {source.preprocess.fingerprint or 'no data'}"
    if config.races:
        yield from told(jobs.plan, labels)
        return
    names = [f"{label}-{strategy.name}" for label in labels for strategy in config.strategies]
    yield f"candidates: {', '.join(names)} and the control"


TRANSFER = Pipeline(
    name="transfer",
    description=DESCRIPTION,
    build=build,
    variants=tuple(Variant(fan_out, tournament) for fan_out in (False, True) for tournament in (False, True)),
    variant_for=variant_for,
    expected_steps=expected_steps,
    phases=phases,
    workload=TransferWorkload,
    dataset_steps=("preprocess-target", "merge-target"),
    report_step="report",
    release_step="release",
    describe=describe,
)
