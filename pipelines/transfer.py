"""The main job: sources to candidates, the best of them proved, exported, judged, released.

Every step takes the digests of what it reads beside the artifacts themselves, because KFP's cache knows artifacts by
their names only. Two traps of kfp.local (2.17) shape the rest. It finds the list of a loop, and the value of an `If`,
only where its producer calls it `Output`. And it puts the loop's item in the place of every other parameter that comes
from an earlier step into a loop: so none does, and the items carry such digests inside.
"""

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from graftline import components as c
from graftline.pipelines.placement import Placement


def transfer(placement: Placement) -> GraphComponent:
    """Builds the DAG of the main job.

    Args:
        placement: Nodes and images.

    Returns:
        A KFP pipeline with one parameter, `config`: a run's config as JSON.
    """

    def cpu(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        return placement.anywhere(task).set_display_name(name)

    def gpu(task: dsl.PipelineTask, name: str) -> dsl.PipelineTask:
        return placement.training(task).set_display_name(name)

    @dsl.pipeline(name="graftline-transfer", description="Transfer learning with a control, a proof and a gate.")
    def pipeline(config: str) -> None:
        jobs = cpu(c.fingerprint(config=config), "fingerprint").set_caching_options(False).outputs
        target = cpu(c.preprocess(job=jobs["target"]), "preprocess target").outputs
        with dsl.ParallelFor(jobs["Output"], name="sources") as source:
            data = cpu(c.preprocess(job=source, target=target["dataset"]), "preprocess source").outputs
            pretrained = gpu(c.pretrain(job=data["pretrain"], dataset_digest=data["digest"], dataset=data["dataset"]),
                             "pretrain")
        plan = cpu(c.plan(job=jobs["plan"], checkpoints=dsl.Collected(pretrained.outputs["checkpoint"]),
                          checkpoint_digests=dsl.Collected(pretrained.outputs["digest"]),
                          dataset=target["dataset"], dataset_digest=target["digest"]), "plan").outputs
        read = {"dataset": target["dataset"], "sources": plan["sources"]}
        with dsl.ParallelFor(plan["Output"], name="candidates") as candidate:
            tuned = gpu(c.finetune(candidate=candidate, phase="finetune", **read), "finetune")
        choice = cpu(c.select(job=jobs["select"], inputs=plan["digest"],
                              candidates=dsl.Collected(tuned.outputs["checkpoint"]),
                              candidate_digests=dsl.Collected(tuned.outputs["digest"])), "select").outputs
        with dsl.ParallelFor(choice["Output"], name="confirmations") as candidate:
            again = gpu(c.finetune(candidate=candidate, phase="confirm", **read), "confirm")
        evaluated = cpu(c.evaluate(job=jobs["evaluate"], inputs=choice["digest"], chosen=choice["chosen"],
                                   control=choice["control"], confirmations=dsl.Collected(again.outputs["checkpoint"]),
                                   confirmation_digests=dsl.Collected(again.outputs["digest"]), **read),
                        "evaluate").outputs
        read = {"dataset": target["dataset"], "chosen": choice["chosen"], "evaluation": evaluated["metrics"]}
        onnx = cpu(c.export_onnx(job=jobs["export_onnx"], inputs=evaluated["digest"], **read), "export ONNX").outputs
        gate = cpu(c.gate(job=jobs["gate"], inputs=onnx["digest"], dataset=target["dataset"], onnx=onnx["onnx"],
                          evaluation=evaluated["metrics"]), "gate").outputs
        read |= {"onnx": onnx["onnx"], "judgement": gate["judgement"]}
        with dsl.If(gate["Output"] == "promote", name="promoted"):
            cpu(c.release(job=jobs["release"], **read), "release").set_caching_options(False)
        cpu(c.report(job=jobs["report"], sources=plan["sources"], selection=choice["selection"],
                     control=choice["control"], **read), "report").set_caching_options(False)

    return pipeline
