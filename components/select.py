"""KFP component of the step `select`."""

from typing import NamedTuple, Optional

from kfp.dsl import Artifact, Input, Model, Output

from graftline.components.decorator import component


@component
def select(
    job: str,
    inputs: str,
    candidate_digests: list[str],
    candidates: Input[list[Model]],
    chosen: Output[Model],
    control: Output[Model],
    selection: Output[Artifact],
    race: Optional[Input[Model]] = None,  # noqa: UP045
    race_digest: str = "",
) -> NamedTuple("Outputs", [("Output", list[str]), ("digest", str)]):
    """Chooses the candidate with the best validation score and lists its further seeds (`Output`); `inputs` is plan's
    digest."""
    from pathlib import Path

    from graftline.runtime import events

    with events.step("select", job=job, inputs=inputs, candidates=",".join(candidate_digests), race=race_digest):
        from graftline.config.jobs import SelectJob
        from graftline.runtime.manifest import canonical_json, digest_text, identity
        from graftline.steps.select import select

        outputs = [Path(chosen.path), Path(control.path), Path(selection.path)]
        more = select(
            SelectJob.model_validate_json(job),
            candidates=[Path(c.path) for c in candidates],
            chosen=outputs[0],
            control=outputs[1],
            out=outputs[2],
            race=Path(race.path) if race else None,
        )
        digest = digest_text(canonical_json([inputs, *map(identity, outputs)]))
        return ([c.model_copy(update={"inputs": inputs}).to_json() for c in more], digest)
