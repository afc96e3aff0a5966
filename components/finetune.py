"""KFP component of the step `finetune`."""

from typing import NamedTuple, Optional

from kfp.dsl import Dataset, Input, Model, Output

from graftline.components.decorator import component


@component
def finetune(
    candidate: str,
    phase: str,
    sources: Input[Model],
    dataset: Input[Dataset],
    checkpoint: Output[Model],
    earlier: Optional[Input[Model]] = None,  # noqa: UP045
) -> NamedTuple("Outputs", [("digest", str)]):
    """Trains one candidate (a FinetuneJob) on the target, resumed from its state in `earlier` if there is one; `phase`
    is the prefix of the step's name: `finetune`, `rung2` in a tournament, or `confirm` for an additional seed."""
    from pathlib import Path

    from graftline.config.jobs import FinetuneJob
    from graftline.runtime import events

    parsed = FinetuneJob.model_validate_json(candidate)
    with events.step(f"{phase}-{parsed.name}", candidate=candidate):
        from graftline.runtime.manifest import identity
        from graftline.steps.finetune import finetune

        finetune(
            parsed,
            sources=Path(sources.path),
            dataset=Path(dataset.path),
            out=Path(checkpoint.path),
            earlier=Path(earlier.path) if earlier else None,
        )
        return (identity(Path(checkpoint.path)),)
