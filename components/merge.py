"""KFP component of the step `merge`."""

from typing import NamedTuple

from kfp.dsl import HTML, Dataset, Input, Output

from graftline.components.decorator import component


@component
def merge(
    job: str, part_digests: list[str], parts: Input[list[Dataset]], dataset: Output[Dataset], page: Output[HTML]
) -> NamedTuple("Outputs", [("digest", str)]):
    """Makes the target's dataset (a PreprocessJob) from its decoded shards; parts of other data are ignored."""
    from pathlib import Path
    from shutil import copyfile

    from graftline.runtime import events

    with events.step("merge-target", job=job, parts=",".join(part_digests)):
        from graftline.config.jobs import PreprocessJob
        from graftline.data.dataset import PAGE
        from graftline.runtime.manifest import identity
        from graftline.steps.merge import merge

        out = Path(dataset.path)
        merge(PreprocessJob.model_validate_json(job), [Path(part.path) for part in parts], out=out)
        copyfile(out / PAGE, page.path)
        return (identity(out),)
