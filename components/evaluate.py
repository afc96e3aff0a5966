"""KFP component of the step `evaluate`."""

from typing import NamedTuple

from kfp.dsl import ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from graftline.components.decorator import component


@component
def evaluate(
    job: str,
    inputs: str,
    confirmation_digests: list[str],
    dataset: Input[Dataset],
    sources: Input[Model],
    chosen: Input[Model],
    control: Input[Model],
    confirmations: Input[list[Model]],
    metrics: Output[Metrics],
    confusion: Output[ClassificationMetrics],
) -> NamedTuple("Outputs", [("digest", str)]):
    """Evaluates the chosen model, the control and the baselines on the test split; `inputs` is select's digest."""
    import json
    from pathlib import Path

    from graftline.runtime import events

    with events.step("evaluate", job=job, inputs=inputs, confirmations=",".join(confirmation_digests)):
        from graftline.config.jobs import EvaluateJob
        from graftline.runtime.manifest import canonical_json, digest_text, identity
        from graftline.steps.evaluate import evaluate

        result = evaluate(
            EvaluateJob.model_validate_json(job),
            dataset=Path(dataset.path),
            sources=Path(sources.path),
            chosen=Path(chosen.path),
            control=Path(control.path),
            confirmations=[Path(c.path) for c in confirmations],
            out=Path(metrics.path),
        )
        for name, metric in result.test.items():
            metrics.log_metric(name, metric.value)
        if result.confusion:
            confusion.log_confusion_matrix(result.classes, result.confusion)
        Path(confusion.path).write_text(json.dumps(result.confusion))
        return (digest_text(canonical_json([inputs, *confirmation_digests, identity(Path(metrics.path))])),)
