"""KFP component of the step `merge_sources`."""

from kfp.dsl import Dataset, Input, Output

from graftline.components.decorator import component


@component
def merge_sources(
    jobs: list[str],
    target_digest: str,
    part_digests: list[str],
    target: Input[Dataset],
    parts: Input[list[Dataset]],
    dataset: Output[Dataset],
) -> list[str]:
    """Makes the datasets of all sources (SourceJobs) from their shards, one folder each; returns their PretrainJobs."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("merge-sources", jobs="\n".join(jobs), target=target_digest, parts=",".join(part_digests)):
        from graftline.config.jobs import SourceJob
        from graftline.steps.merge_sources import merge_sources

        made = merge_sources(
            [SourceJob.model_validate_json(job) for job in jobs],
            [Path(part.path) for part in parts],
            target=Path(target.path),
            out=Path(dataset.path),
        )
        return [job.to_json() for job in made]
