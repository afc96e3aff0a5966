"""KFP component of the step `export_onnx`."""

from typing import NamedTuple

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from graftline.components.decorator import component


@component
def export_onnx(
    job: str,
    inputs: str,
    dataset: Input[Dataset],
    chosen: Input[Model],
    evaluation: Input[Metrics],
    onnx: Output[Model],
) -> NamedTuple("Outputs", [("digest", str)]):
    """Exports the chosen model to ONNX and compares both on the test split; `inputs` is evaluate's digest."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("export-onnx", job=job, inputs=inputs):
        from graftline.config.jobs import ExportJob
        from graftline.runtime.manifest import canonical_json, digest_text, identity
        from graftline.steps.export_onnx import export_onnx

        export_onnx(
            ExportJob.model_validate_json(job),
            dataset=Path(dataset.path),
            chosen=Path(chosen.path),
            evaluation=Path(evaluation.path),
            out=Path(onnx.path),
        )
        return (digest_text(canonical_json([inputs, identity(Path(onnx.path))])),)
