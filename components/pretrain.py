"""KFP component of the step `pretrain`."""

from typing import NamedTuple

from kfp.dsl import Dataset, Input, Model, Output

from graftline.components.decorator import component


@component
def pretrain(job: str, dataset: Input[Dataset], checkpoint: Output[Model]) -> NamedTuple("Outputs", [("digest", str)]):
    """Makes a source's checkpoint (a PretrainJob): initial weights, trained on the dataset unless that is empty. The
    dataset is the artifact, or the folder with the source's label in it."""
    from pathlib import Path

    from graftline.config.jobs import PretrainJob
    from graftline.runtime import events

    parsed = PretrainJob.model_validate_json(job)
    with events.step(f"pretrain-{parsed.label}", job=job):
        from graftline.runtime.manifest import identity
        from graftline.steps.pretrain import pretrain

        own = Path(dataset.path) / events.file_name(parsed.label)
        pretrain(parsed, dataset=own if own.is_dir() else Path(dataset.path), out=Path(checkpoint.path))
        return (identity(Path(checkpoint.path)),)
