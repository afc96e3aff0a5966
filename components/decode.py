"""KFP component of the step `decode`."""

from typing import NamedTuple

from kfp.dsl import Dataset, Output

from graftline.components.decorator import component


@component
def decode(job: str, part: Output[Dataset]) -> NamedTuple("Outputs", [("digest", str)]):
    """Decodes one shard of a task's raw data (a DecodeJob); `merge` makes a dataset from all shards."""
    from pathlib import Path

    from graftline.config.jobs import DecodeJob
    from graftline.runtime import events

    parsed = DecodeJob.model_validate_json(job)
    with events.step(f"decode-{parsed.name}", job=job):
        from graftline.runtime.manifest import identity
        from graftline.steps.decode import decode

        decode(parsed, out=Path(part.path))
        return (identity(Path(part.path)),)
