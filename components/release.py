"""KFP component of the step `release`."""

from typing import NamedTuple

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from graftline.components.decorator import component


@component
def release(
    job: str,
    dataset: Input[Dataset],
    onnx: Input[Model],
    evaluation: Input[Metrics],
    judgement: Input[Artifact],
    chosen: Input[Model],
    released: Output[Artifact],
) -> NamedTuple("Outputs", [("digest", str)]):
    """Writes the release folder of a promoted model, and copies it to the store if there is one; never cached."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("release", job=job, out=released.path):
        from graftline.config.jobs import ReleaseJob
        from graftline.runtime.manifest import identity
        from graftline.steps.release import release

        release(
            ReleaseJob.model_validate_json(job),
            dataset=Path(dataset.path),
            onnx=Path(onnx.path),
            evaluation=Path(evaluation.path),
            gate=Path(judgement.path),
            chosen=Path(chosen.path),
            out=Path(released.path),
        )
        return (identity(Path(released.path)),)
