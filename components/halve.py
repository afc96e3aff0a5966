"""KFP component of the step `halve`."""

from typing import NamedTuple, Optional

from kfp.dsl import Input, Model, Output

from graftline.components.decorator import component


@component
def halve(
    job: str,
    candidate_digests: list[str],
    candidates: Input[list[Model]],
    race: Output[Model],
    before: Optional[Input[Model]] = None,  # noqa: UP045
    before_digest: str = "",
) -> NamedTuple("Outputs", [("Output", list[str]), ("digest", str)]):
    """Ranks the candidates of a rung (a RaceJob), keeps the best ones (`race`), lists the next rung (`Output`)."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step(
        "halve-2" if before else "halve-1", job=job, candidates=",".join(candidate_digests), before=before_digest
    ):
        from graftline.config.jobs import RaceJob
        from graftline.runtime.manifest import identity
        from graftline.steps.halve import halve

        items = halve(
            RaceJob.model_validate_json(job),
            candidates=[Path(c.path) for c in candidates],
            before=Path(before.path) if before else None,
            out=Path(race.path),
        )
        return ([item.to_json() for item in items], identity(Path(race.path)))
