"""Selects the candidates that continue after a rung, by validation only, and creates the jobs of the next rung."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.runtime.manifest import canonical_json, digest_text, identity
from graftline.selection.tournament.race import RaceEntry, RungResult, seconds_of
from graftline.strategies.lookup import profile_of
from graftline.training import recipe


@dataclass(frozen=True)
class EndedRung:
    """A completed rung that is not the last one."""

    job: RaceJob
    number: int
    """Number of the rung, starting at 1."""
    stands: list[RungResult]
    """Results of this rung and of all previous rungs."""

    @property
    def step(self) -> int:
        """Number of passes of each candidate in the next rung."""
        return self.job.ends[self.number] - self.job.ends[self.number - 1]

    @property
    def last(self) -> int:
        """Number of passes of each candidate in the last rung; 0 if the next rung is the last one."""
        return self.job.ends[-1] - self.job.ends[-2] if self.number + 1 < len(self.job.ends) else 0

    @property
    def seconds_left(self) -> float:
        """Remaining training time of the budget in seconds; infinite if the budget has no time limit."""
        return math.inf if self.job.minutes is None else 60 * self.job.minutes - seconds_of(self.stands)

    def capacity(self) -> int:
        """Returns how many candidates the remaining budget allows in the next rung, after reserving the last rung."""
        paid = self.job.spent
        for rung in range(2, self.number + 1):
            trained = sum(stand.rung == rung for stand in self.stands)
            paid += trained * (self.job.ends[rung - 1] - self.job.ends[rung - 2])
        later = self.job.sizes[-1] * self.last
        return (self.job.passes - paid - later) // self.step if self.step else len(self.stands)

    def seconds_per_image(self) -> float:
        """Returns the median training time per image in seconds, over the trainings that paused at this rung."""
        images = self.job.ends[self.number - 1] * self.job.images
        paces = [stand.train_seconds / images for stand in self.stands if stand.rung == self.number and not stand.over]
        return statistics.median(paces) if paces else 0.0


def cut(rung: EndedRung, entries: list[RaceEntry]) -> tuple[list[RaceEntry], dict[str, str]]:
    """Returns the candidates that continue, best first, and by name the reason why each other candidate stops."""
    left = {
        entry.manifest.name: f"{entry.manifest.row.status}: {entry.manifest.row.reason}"
        for entry in entries
        if not entry.ok
    }
    left |= {
        entry.manifest.name: "no score on validation"
        for entry in entries
        if entry.ok and not entry.over and entry.score == -math.inf
    }
    running = sorted((entry for entry in entries if entry.ok and not entry.over and entry.score > -math.inf), key=_rank)
    if not running:
        return [], left
    size = rung.job.sizes[rung.number]
    kept, rest = running[:size], running[size:]
    for entry in _near_best(running, rest):
        if len(kept) >= rung.capacity():
            break
        kept.append(entry)
    timely = _in_time(rung, kept)
    for rank, entry in enumerate(running, start=1):
        if entry not in kept:
            left[entry.manifest.name] = f"rank {rank} of {len(running)}, {len(kept)} continued"
        elif entry not in timely:
            left[entry.manifest.name] = f"rank {rank} of {len(running)}, no time left for it"
    return timely, left


def next_jobs(rung: EndedRung, kept: list[RaceEntry], ended: list[RaceEntry], out: Path) -> list[FinetuneJob]:
    """Returns the jobs of the next rung; the last rung also trains the controls.

    Args:
        rung: The completed rung.
        kept: Candidates that continue.
        ended: Candidates whose training is complete.
        out: Folder with the checkpoints of `kept` and `ended`.
    """
    job = rung.job
    is_final = rung.number + 1 == len(job.ends)
    jobs = [item for entry in kept if (item := _continued(rung, entry, is_final)) is not None]
    if is_final and job.cross_validate:
        crossed = {item.name for item in jobs}
        jobs += [
            entry.job.model_copy(update={"cross_validate": True, "until": None})
            for entry in ended
            if entry.over and not entry.job.cross_validate and entry.manifest.name not in crossed
        ]
    longest = max(
        [recipe.examples_seen(profile_of(item.strategy), item.training, job.images) for item in jobs if item.strategy]
        + [entry.manifest.row.examples_seen for entry in [*kept, *ended]],
        default=0,
    )
    longest = longest or recipe.epochs(job.images) * job.images
    if is_final:
        controls = {entry.job.opponent for entry in [*kept, *ended]}
        jobs = [item.model_copy(update={"longest": longest}) for item in jobs]
        jobs += [_control(control, longest, job.images) for control in job.controls if control.name in controls]
    return [item.model_copy(update={"inputs": _inputs(job, out / item.name)}) for item in jobs]


def _rank(entry: RaceEntry) -> tuple[float, int, float, str]:
    """Returns a sort key: highest score first, then lowest cost."""
    row = entry.manifest.row
    return -entry.score, row.trained_parameters, row.train_seconds, entry.manifest.name


def _near_best(running: list[RaceEntry], rest: list[RaceEntry]) -> list[RaceEntry]:
    """Returns entries of `rest` within one standard error of the best, the best of each source and strategy first."""
    best = running[0]
    error = best.manifest.row.val_score_se or 0.0
    first = {(entry.job.source, entry.job.strategy_name): entry for entry in reversed(running)}
    near = [entry for entry in rest if error and entry.score >= best.score - error]
    return sorted(near, key=lambda entry: first[entry.job.source, entry.job.strategy_name] is not entry)


def _in_time(rung: EndedRung, kept: list[RaceEntry]) -> list[RaceEntry]:
    """Returns the candidates that fit the time limit, including the last rung of one finalist; at least one."""
    images, seconds = rung.job.images, rung.seconds_per_image()
    each, finalist = rung.step * images * seconds, rung.last * images * seconds
    fit = sum(number * each + finalist <= rung.seconds_left for number in range(1, len(kept) + 1))
    return kept[: max(1, fit)]


def _control(planned: FinetuneJob, longest: int, images: int) -> FinetuneJob:
    """Returns a control trained as long as the finalists, which may be shorter than the first-rung candidates."""
    passes, why = recipe.control_length(longest, images)
    return planned.model_copy(
        update={
            "longest": longest,
            "recipe": [why, *planned.recipe[1:]],
            "training": planned.training.model_copy(update={"epochs": passes}),
        }
    )


def _continued(rung: EndedRung, entry: RaceEntry, is_final: bool) -> FinetuneJob | None:
    """Returns the job that continues a training, or None if the remaining time is too short for one pass."""
    images = rung.job.images
    seen = rung.job.ends[rung.number - 1] * images
    seconds, left = rung.seconds_per_image(), rung.seconds_left
    if left < rung.step * images * seconds:
        passes = math.floor(max(0.0, left) / max(seconds * images, 1e-9))
        return entry.job.model_copy(update={"until": seen + passes * images}) if passes else None
    if is_final:
        return entry.job.model_copy(update={"until": None, "cross_validate": rung.job.cross_validate})
    until = rung.job.ends[rung.number]
    return entry.job.model_copy(update={"until": until * images if until < (entry.job.training.epochs or 1) else None})


def _inputs(job: RaceJob, earlier: Path) -> str:
    """Returns the input digest of a job, including its earlier checkpoint if there is one."""
    return digest_text(canonical_json([job.inputs, identity(earlier)])) if earlier.is_dir() else job.inputs
