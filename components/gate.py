"""KFP component of the step `gate`."""

from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from graftline.components.decorator import component


@component
def gate(
    job: str,
    inputs: str,
    dataset: Input[Dataset],
    onnx: Input[Model],
    evaluation: Input[Metrics],
    judgement: Output[Artifact],
) -> str:
    """Applies the release gate to the ONNX model: promote, hold or reject; `inputs` is export_onnx's digest."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("gate", job=job, inputs=inputs):
        from graftline.config.jobs import GateJob
        from graftline.runtime.manifest import NAME
        from graftline.steps.gate import gate

        result = gate(
            GateJob.model_validate_json(job),
            dataset=Path(dataset.path),
            onnx=Path(onnx.path),
            evaluation=Path(evaluation.path),
            out=Path(judgement.path),
        )
        assert (Path(judgement.path) / NAME).is_file(), f"{judgement.path}: gate wrote no {NAME}"
        return result.verdict
