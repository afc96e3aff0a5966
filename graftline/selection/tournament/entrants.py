"""Plans the first rung of a tournament: the candidates that fit the budget and the length of their training."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from graftline.config import Budget
from graftline.config.jobs import FinetuneJob, PlanJob, RaceJob
from graftline.models.checkpoint import WEIGHTS, CheckpointManifest
from graftline.runtime import events
from graftline.runtime.errors import RefusedError
from graftline.selection.tournament.pool import PoolEntry, SourceProperties, applies, entries
from graftline.selection.tournament.rungs import FEWEST, FULL, Rungs, rungs_of, split
from graftline.training.recipe import any_size, cut_short


@dataclass(frozen=True)
class Entrant:
    """A candidate and its pool entry."""

    kind: PoolEntry
    candidate: FinetuneJob

    @property
    def passes(self) -> int:
        """Number of passes of the complete training."""
        return self.candidate.training.epochs or 1


def enter(
    job: PlanJob,
    sources: Mapping[str, SourceProperties],
    make: Callable[[str, PoolEntry], FinetuneJob | None],
    *,
    images: int,
) -> tuple[list[FinetuneJob], RaceJob]:
    """Returns the candidates of the first rung and the job of the later rungs.

    Args:
        job: Job with the strategies and the budget.
        sources: Properties of each source, by label.
        make: Creates the candidate for a source label and a pool entry; returns None if the entry does not apply.
        images: Number of images in the training split.

    Returns:
        Candidates of the first rung, and the job of the later rungs without its controls.

    Raises:
        RefusedError: The budget is too small for a tournament.
    """
    entrants = []
    for kind, asked in entries(job.strategies):
        for label, source in sources.items():
            if (asked or applies(kind, source)) and (made := make(label, kind)) is not None:
                entrants.append(
                    Entrant(
                        kind,
                        made.model_copy(
                            update={
                                "name": made.name + kind.suffix,
                                "recipe": [f"in the race: {kind.variant.reason}", *made.recipe],
                            }
                        ),
                    )
                )
    cheap = [each for each in entrants if each.kind.is_cheap]
    racing = [each for each in entrants if not each.kind.is_cheap]
    budget = job.budget or Budget()
    rungs, passes, spent = _rungs(budget, cheap, racing, len(sources), images)
    if left_out := [each.candidate.name for each in racing[rungs.sizes[0] :]]:
        events.log(f"more than the budget pays for, left out: {', '.join(left_out)}")
    first = [each.candidate for each in cheap] + [_paused(each, rungs, images) for each in racing[: rungs.sizes[0]]]
    return first, RaceJob(
        sizes=list(rungs.sizes),
        ends=list(rungs.ends),
        passes=passes,
        spent=spent,
        images=images,
        minutes=budget.minutes,
    )


def _rungs(
    budget: Budget, cheap: list[Entrant], racing: list[Entrant], sources: int, images: int
) -> tuple[Rungs, int, int]:
    """Returns the rungs, the total budget in passes, and the passes of the first rung."""
    length = max((each.passes for each in racing), default=1)
    aside, before = sum(each.kind.feature_passes for each in cheap), [each.kind.feature_passes for each in racing]
    passes = budget.examples_seen // images if budget.examples_seen else aside + FULL * length * sources
    rungs = split(passes - aside, length, before)
    if rungs is None:
        least = (aside + rungs_of(min(FEWEST, len(before)), 1).cost(before)) * images
        count = len(cheap) + min(FEWEST, len(before))
        raise RefusedError(
            f"budget: {budget.examples_seen} presentations are too few for a tournament of {count} "
            f"candidates over {images} training images; give at least {least}, or list fewer strategies"
        )
    if rungs.sizes[0]:
        events.log(
            f"a tournament of {len(cheap)} + {rungs.sizes[0]} candidates; rungs of "
            + ", ".join(f"{size} for {end} passes" for size, end in zip(rungs.sizes, rungs.ends, strict=True))
            + f"; {rungs.cost(before) + aside} of {passes} passes over {images} images"
        )
        if rungs.ends[-1] < length:
            events.log(f"{rungs.ends[-1]} passes at most: the budget does not pay for the {length} of the recipe")
    return rungs, passes, aside + sum(before[: rungs.sizes[0]]) + rungs.sizes[0] * rungs.ends[0]


def _paused(each: Entrant, rungs: Rungs, images: int) -> FinetuneJob:
    """Returns a candidate that pauses after the first rung and trains at most until the end of the last rung."""
    epochs = min(each.passes, rungs.ends[1] if each.kind.variant.is_short else rungs.ends[-1])
    training = each.candidate.training.model_copy(update={"epochs": epochs})
    until = rungs.ends[0] * images if rungs.ends[0] < epochs else None
    why = each.candidate.recipe
    if epochs < each.passes:
        why = cut_short(
            why, epochs, "an early end" if each.kind.variant.is_short else "what the tournament's budget pays for"
        )
    return each.candidate.model_copy(update={"training": training, "until": until, "recipe": why})


def source_properties(source: CheckpointManifest, folder: Path, classes: list[str], task: str) -> SourceProperties:
    """Returns the properties of a source that determine which variants apply to it.

    Args:
        source: Manifest of the source checkpoint.
        folder: Folder of the source checkpoint.
        classes: Class names of the target.
        task: Task of the target.
    """
    known = {_plain(part) for name in source.classes for part in (name, *name.split(","))}
    trained = source.strategy != "random" and bool(source.classes)
    with safe_open(folder / WEIGHTS, framework="np") as file:
        batch_norm = any(name.endswith("running_mean") for name in file.keys())  # noqa: SIM118
    side = min(source.input.height, source.input.width) if any_size(source.backbone) else 0
    return SourceProperties(trained and any(_plain(name) in known for name in classes), trained, batch_norm, task, side)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).casefold()
