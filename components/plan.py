"""KFP component of the step `plan`."""

from typing import NamedTuple

from kfp.dsl import Dataset, Input, Model, Output

from graftline.components.decorator import component


@component
def plan(
    job: str,
    checkpoint_digests: list[str],
    dataset_digest: str,
    checkpoints: Input[list[Model]],
    dataset: Input[Dataset],
    sources: Output[Model],
) -> NamedTuple("Outputs", [("Output", list[str]), ("digest", str), ("race", str)]):
    """Lists the candidates to train on the target (`Output`) and gathers the sources in one artifact. The control is in
    the list or, in a tournament, in the job of the later rungs (`race`)."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("plan", job=job, dataset=dataset_digest, checkpoints=",".join(checkpoint_digests)):
        from graftline.config.jobs import PlanJob
        from graftline.runtime.manifest import canonical_json, digest_text, identity
        from graftline.steps.plan import plan

        planned = plan(
            PlanJob.model_validate_json(job),
            sources=[Path(c.path) for c in checkpoints],
            dataset=Path(dataset.path),
            out=Path(sources.path),
        )
        inputs = digest_text(canonical_json([dataset_digest, identity(Path(sources.path))]))
        candidates = [c.model_copy(update={"inputs": inputs}).to_json() for c in planned.candidates]
        return (candidates, inputs, planned.race.stamped(inputs).to_json())
