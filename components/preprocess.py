"""KFP component of the step `preprocess`."""

from typing import NamedTuple, Optional

from kfp.dsl import HTML, Dataset, Input, Output

from graftline.components.decorator import component


@component
def preprocess(
    job: str,
    dataset: Output[Dataset],
    page: Output[HTML],
    target: Optional[Input[Dataset]] = None,  # noqa: UP045
) -> NamedTuple("Outputs", [("digest", str), ("pretrain", str)]):
    """Makes a dataset: the target's from a PreprocessJob or, given the target's dataset, a source's from a SourceJob,
    whose PretrainJob is then the output `pretrain`."""
    from pathlib import Path
    from shutil import copyfile

    from graftline.config.jobs import PreprocessJob, SourceJob
    from graftline.runtime import events

    source = SourceJob.model_validate_json(job) if target else None
    own = source.preprocess if source else PreprocessJob.model_validate_json(job)
    with events.step(f"preprocess-{own.label if target else 'target'}", job=job):
        from graftline.data.dataset import PAGE
        from graftline.runtime.manifest import identity
        from graftline.steps.preprocess import preprocess

        out = Path(dataset.path)
        preprocess(own, out=out, target=Path(target.path) if target else None)
        copyfile(out / PAGE, page.path)
        digest = identity(out)
        return (digest, source.pretrain.model_copy(update={"inputs": digest}).to_json() if source else "")
