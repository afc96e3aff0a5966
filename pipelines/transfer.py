"""The main job: sources to candidates, the best of them proved, exported, judged, released.

Every step takes the digests of what it reads beside the artifacts themselves, because KFP's cache knows artifacts by
their names only. Two traps of kfp.local (2.17) shape the rest. It finds the list of a loop, and the value of an `If`,
only where its producer calls it `Output`. And it puts the loop's item in the place of every other parameter that comes
from an earlier step into a loop: so none does, and the items carry such digests inside.

A DAG that fans decoding out has another shape, chosen when it is built, and so has one with the rungs of a tournament.
Whatever the shape, the same jobs make the same artifacts with the same digests, so that one DAG finds what another made
in the cache.
"""

from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from graftline import components as c
from graftline.pipelines.placement import Placement

Place = Callable[[dsl.PipelineTask, str], dsl.PipelineTask]
Outputs = dict[str, Any]


def transfer(placement: Placement, fan_out: bool = False, tournament: bool = False) -> GraphComponent:
    """Builds the DAG of the main job.

    Args:
        placement: Nodes and images.
        fan_out: Whether raw data are decoded in the config's `shards` steps a task and merged; else in one step a task.
        tournament: Whether candidates are trained in three rungs, the better third of each going on; else whole.

    Returns:
        A KFP pipeline with one parameter, `config`: a run's config as JSON.
    """

    def cpu(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        return placement.anywhere(task).set_display_name(name)

    def gpu(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        return placement.training(task).set_display_name(name)

    @dsl.pipeline(name="graftline-transfer", description="Transfer learning with a control, a proof and a gate.")
    def pipeline(config: str) -> None:
        first = cpu(c.fingerprint(config=config, fan_out=fan_out, tournament=tournament), "fingerprint")
        jobs = first.set_caching_options(False).outputs
        target, pretrained = (_sharded if fan_out else _whole)(jobs, cpu, gpu)
        plan = cpu(
            c.plan(
                job=jobs["plan"],
                checkpoints=dsl.Collected(pretrained["checkpoint"]),
                checkpoint_digests=dsl.Collected(pretrained["digest"]),
                dataset=target["dataset"],
                dataset_digest=target["digest"],
            ),
            "plan",
        ).outputs
        read = {"dataset": target["dataset"], "sources": plan["sources"]}
        finalists = (_rungs if tournament else _one_go)(plan, read, cpu, gpu)
        choice = cpu(c.select(job=jobs["select"], inputs=plan["digest"], **finalists), "select").outputs
        with dsl.ParallelFor(choice["Output"], name="confirmations") as candidate:
            again = gpu(c.finetune(candidate=candidate, phase="confirm", **read), "confirm")
        evaluated = cpu(
            c.evaluate(
                job=jobs["evaluate"],
                inputs=choice["digest"],
                chosen=choice["chosen"],
                control=choice["control"],
                confirmations=dsl.Collected(again.outputs["checkpoint"]),
                confirmation_digests=dsl.Collected(again.outputs["digest"]),
                **read,
            ),
            "evaluate",
        ).outputs
        read = {"dataset": target["dataset"], "chosen": choice["chosen"], "evaluation": evaluated["metrics"]}
        onnx = cpu(c.export_onnx(job=jobs["export_onnx"], inputs=evaluated["digest"], **read), "export ONNX").outputs
        gate = cpu(
            c.gate(
                job=jobs["gate"],
                inputs=onnx["digest"],
                dataset=target["dataset"],
                onnx=onnx["onnx"],
                evaluation=evaluated["metrics"],
            ),
            "gate",
        ).outputs
        read |= {"onnx": onnx["onnx"], "judgement": gate["judgement"]}
        with dsl.If(gate["Output"] == "promote", name="promoted"):
            cpu(c.release(job=jobs["release"], **read), "release").set_caching_options(False)
        cpu(
            c.report(
                job=jobs["report"],
                sources=plan["sources"],
                selection=choice["selection"],
                control=choice["control"],
                **read,
            ),
            "report",
        ).set_caching_options(False)

    return pipeline


def _whole(jobs: Outputs, cpu: Place, gpu: Place) -> tuple[Outputs, Outputs]:
    """Each task's data in one step; returns the outputs of the target's and of the sources' pretraining."""
    target = cpu(c.preprocess(job=jobs["target"]), "preprocess target").outputs
    with dsl.ParallelFor(jobs["Output"], name="sources") as source:
        data = cpu(c.preprocess(job=source, target=target["dataset"]), "preprocess source").outputs
        pretrained = gpu(c.pretrain(job=data["pretrain"], dataset=data["dataset"]), "pretrain").outputs
    return target, pretrained


def _sharded(jobs: Outputs, cpu: Place, gpu: Place) -> tuple[Outputs, Outputs]:
    """Each task's data in many steps, side by side; a collected artifact enters no second loop, hence merge_sources."""
    with dsl.ParallelFor(jobs["Output"], name="shards") as shard:
        decoded = cpu(c.decode(job=shard), "decode shard").outputs
    target = cpu(c.merge(job=jobs["target"], **_parts(decoded)), "merge target").outputs
    sources = cpu(
        c.merge_sources(
            jobs=jobs["sources"], target=target["dataset"], target_digest=target["digest"], **_parts(decoded)
        ),
        "merge sources",
    ).outputs
    with dsl.ParallelFor(sources["Output"], name="sources") as source:
        pretrained = gpu(c.pretrain(job=source, dataset=sources["dataset"]), "pretrain").outputs
    return target, pretrained


def _one_go(plan: Outputs, read: Outputs, cpu: Place, gpu: Place) -> Outputs:
    """Trains every candidate whole; returns what select reads."""
    with dsl.ParallelFor(plan["Output"], name="candidates") as candidate:
        tuned = gpu(c.finetune(candidate=candidate, phase="finetune", **read), "finetune").outputs
    return _candidates(tuned)


def _rungs(plan: Outputs, read: Outputs, cpu: Place, gpu: Place) -> Outputs:
    """Three rungs, a cut between each two; what a later one goes on from comes in one artifact, as the sources do."""
    with dsl.ParallelFor(plan["Output"], name="rung 1") as candidate:
        tuned = gpu(c.finetune(candidate=candidate, phase="rung1", **read), "rung 1").outputs
    first = cpu(c.halve(job=plan["race"], **_candidates(tuned)), "halve 1").outputs
    with dsl.ParallelFor(first["Output"], name="rung 2") as candidate:
        tuned = gpu(c.finetune(candidate=candidate, phase="rung2", earlier=first["race"], **read), "rung 2").outputs
    second = cpu(
        c.halve(job=plan["race"], before=first["race"], before_digest=first["digest"], **_candidates(tuned)), "halve 2"
    ).outputs
    with dsl.ParallelFor(second["Output"], name="rung 3") as candidate:
        tuned = gpu(c.finetune(candidate=candidate, phase="rung3", earlier=second["race"], **read), "rung 3").outputs
    return {**_candidates(tuned), "race": second["race"], "race_digest": second["digest"]}


def _candidates(tuned: Outputs) -> Outputs:
    return {"candidates": dsl.Collected(tuned["checkpoint"]), "candidate_digests": dsl.Collected(tuned["digest"])}


def _parts(decoded: Outputs) -> Outputs:
    """Made anew for each task that reads them: kfp's compiler fails on a Collected that two tasks share."""
    return {"parts": dsl.Collected(decoded["part"]), "part_digests": dsl.Collected(decoded["digest"])}
