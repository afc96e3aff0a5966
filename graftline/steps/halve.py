"""The end of a tournament's rung: who goes on, by validation only. Reads manifests, never weights."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.runtime import events, manifest
from graftline.runtime.manifest import canonical_json, digest_text, identity
from graftline.selection.tournament.race import Race, RaceEntry, RungResult, entry_of, seconds_of, stand_of
from graftline.steps.plan import link
from graftline.training import recipe


@dataclass(frozen=True)
class _Rung:
    """A rung that came to its end, the next one ahead."""

    job: RaceJob
    number: int
    """From 1."""
    stands: list[RungResult]
    """Of this rung and all before."""

    @property
    def step(self) -> int:
        """Passes that each makes in the next rung."""
        return self.job.ends[self.number] - self.job.ends[self.number - 1]

    @property
    def last(self) -> int:
        """Passes that each makes in the last rung, where the next one is not it already."""
        return self.job.ends[-1] - self.job.ends[-2] if self.number + 1 < len(self.job.ends) else 0

    def room(self) -> int:
        """Returns how many candidates the rest of the budget takes through the next rung, those after it paid for."""
        paid = self.job.spent
        for rung in range(2, self.number + 1):
            trained = sum(stand.rung == rung for stand in self.stands)
            paid += trained * (self.job.ends[rung - 1] - self.job.ends[rung - 2])
        later = self.job.sizes[-1] * self.last
        return (self.job.passes - paid - later) // self.step if self.step else len(self.stands)


def halve(job: RaceJob, *, candidates: list[Path], before: Path | None = None, out: Path) -> list[FinetuneJob]:
    """Ranks a rung's candidates and hands on the better ones, with their checkpoints and states.

    A third goes on, by validation score; of equal ones the cheaper. So do those that lie within one standard error of
    the best, as far as the budget allows, the best of each source and strategy first. What is through already stays in
    the race and needs no work. Where time is capped and runs out, fewer go on, and the last one ends early.

    Args:
        job: Sizes and lengths of the rungs, the budget, the controls.
        candidates: Checkpoints of this rung.
        before: What `halve` made of the rung before; None after the first.
        out: Becomes a folder with a checkpoint a candidate that is still in the race, and the manifest of all rungs.

    Returns:
        What to train in the next rung, in the last one the controls too; never empty: one candidate to skip stands in
        where nothing is left to train.
    """
    past = manifest.read(before, Race) if before is not None else None
    entries = [entry for entry in map(entry_of, candidates) if not entry.job.skip]
    number = max((stand.rung for stand in past.stands), default=1) + 1 if past else 1
    rung = _Rung(job, number, [*(past.stands if past else []), *(stand_of(entry, number) for entry in entries)])
    kept, left = _cut(rung, entries)
    through = [entry for entry in entries if entry.ok and entry.over] + _through(past, before, entries)
    ended = {entry.manifest.name: entry for entry in entries if entry.manifest.name in left}
    names = {entry.manifest.name for entry in entries}
    out.mkdir(parents=True, exist_ok=True)
    for entry in [*kept, *through]:
        link(entry.folder, out / entry.manifest.name)
    stands = [
        *(past.stands if past else []),
        *(stand_of(entry, number, left.get(entry.manifest.name, "")) for entry in entries),
    ]
    manifest.write(
        out,
        Race(
            sizes=job.sizes,
            ends=job.ends,
            images=job.images,
            passes=job.passes,
            minutes=job.minutes,
            stands=stands,
            rows=(past.rows if past else {}) | {name: entry.manifest.row for name, entry in ended.items()},
            histories=(past.histories if past else {}) | {n: entry.manifest.history for n, entry in ended.items()},
        ),
        hashed=False,
    )
    events.log(
        f"rung {number}: {len(names)} candidates, {len(kept)} go on, {len(through)} are through, "
        f"{len(left)} leave; {seconds_of(stands):.0f} s of training so far"
    )
    for name, why in left.items():
        events.log(f"{name} leaves: {why}")
    return _next(rung, kept, through, out) or [_stand_in(candidates[0], number)]


def _cut(rung: _Rung, entries: list[RaceEntry]) -> tuple[list[RaceEntry], dict[str, str]]:
    """Returns who goes on, the best first, and why each of the others leaves."""
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
    places = rung.job.sizes[rung.number]
    kept, rest = running[:places], running[places:]
    for entry in _near(running, rest):
        if len(kept) >= rung.room():
            break
        kept.append(entry)
    timely = _in_time(rung, kept)
    for place, entry in enumerate(running, start=1):
        if entry not in kept:
            left[entry.manifest.name] = f"place {place} of {len(running)}, {len(kept)} went on"
        elif entry not in timely:
            left[entry.manifest.name] = f"place {place} of {len(running)}, no time left for it"
    return timely, left


def _rank(entry: RaceEntry) -> tuple[float, int, float, str]:
    """Best score first, then the cheaper one."""
    row = entry.manifest.row
    return -entry.score, row.trained_parameters, row.train_seconds, entry.manifest.name


def _near(running: list[RaceEntry], rest: list[RaceEntry]) -> list[RaceEntry]:
    """Returns those of the rest that are no worse than noise makes them, the best of each source and strategy first."""
    best = running[0]
    error = best.manifest.row.val_score_se or 0.0
    first = {(entry.job.source, entry.job.strategy_name): entry for entry in reversed(running)}
    near = [entry for entry in rest if error and entry.score >= best.score - error]
    return sorted(near, key=lambda entry: first[entry.job.source, entry.job.strategy_name] is not entry)


def _in_time(rung: _Rung, kept: list[RaceEntry]) -> list[RaceEntry]:
    """Cuts those who go on to what the minutes allow, one finalist's last rung included; keeps one."""
    spare, pace = _spare(rung), _pace(rung)
    each, finalist = rung.step * rung.job.images * pace, rung.last * rung.job.images * pace
    fit = sum(number * each + finalist <= spare for number in range(1, len(kept) + 1))
    return kept[: max(1, fit)]


def _spare(rung: _Rung) -> float:
    """Returns the seconds that are left."""
    return math.inf if rung.job.minutes is None else 60 * rung.job.minutes - seconds_of(rung.stands)


def _pace(rung: _Rung) -> float:
    """Returns the seconds an image of the trainings that paused, their median."""
    shown = rung.job.ends[rung.number - 1] * rung.job.images
    paces = [stand.train_seconds / shown for stand in rung.stands if stand.rung == rung.number and not stand.over]
    return statistics.median(paces) if paces else 0.0


def _through(past: Race | None, before: Path | None, now: list[RaceEntry]) -> list[RaceEntry]:
    """Returns what was through before this rung; its checkpoints have been handed on."""
    if past is None or before is None:
        return []
    again = {entry.manifest.name for entry in now}
    last = {stand.name: stand for stand in past.stands}
    return [
        entry_of(before / name)
        for name, stand in last.items()
        if stand.status == "ok" and not stand.left and name not in again
    ]


def _next(rung: _Rung, kept: list[RaceEntry], through: list[RaceEntry], out: Path) -> list[FinetuneJob]:
    job = rung.job
    final = rung.number + 1 == len(job.ends)
    items = [item for entry in kept if (item := _onward(rung, entry, final)) is not None]
    if final and job.cross_validate:
        crossed = {item.name for item in items}
        items += [
            entry.job.model_copy(update={"cross_validate": True, "until": None})
            for entry in through
            if entry.over and not entry.job.cross_validate and entry.manifest.name not in crossed
        ]
    longest = max(
        [recipe.examples_seen(item.strategy, item.training, job.images) for item in items if item.strategy]
        + [entry.manifest.row.examples_seen for entry in [*kept, *through]],
        default=0,
    )
    longest = longest or recipe.epochs(job.images) * job.images
    if final:
        opponents = {entry.job.opponent for entry in [*kept, *through]}
        items = [item.model_copy(update={"longest": longest}) for item in items]
        items += [_control(control, longest, job.images) for control in job.controls if control.name in opponents]
    return [item.model_copy(update={"inputs": _inputs(job, out / item.name)}) for item in items]


def _control(planned: FinetuneJob, longest: int, images: int) -> FinetuneJob:
    """Returns a control that is as long as the finalists, who may be shorter than the first rung's candidates."""
    passes, why = recipe.control_length(longest, images)
    return planned.model_copy(
        update={
            "longest": longest,
            "recipe": [why, *planned.recipe[1:]],
            "training": planned.training.model_copy(update={"epochs": passes}),
        }
    )


def _onward(rung: _Rung, entry: RaceEntry, final: bool) -> FinetuneJob | None:
    """Returns the next part of a training; None where there is no time for a single pass."""
    shown, images = rung.job.ends[rung.number - 1] * rung.job.images, rung.job.images
    if (spare := _spare(rung)) < rung.step * images * (pace := _pace(rung)):
        passes = math.floor(max(0.0, spare) / max(pace * images, 1e-9))
        return entry.job.model_copy(update={"until": shown + passes * images}) if passes else None
    if final:
        return entry.job.model_copy(update={"until": None, "cross_validate": rung.job.cross_validate})
    until = rung.job.ends[rung.number]
    return entry.job.model_copy(update={"until": until * images if until < (entry.job.training.epochs or 1) else None})


def _inputs(job: RaceJob, earlier: Path) -> str:
    """Returns the digest of what a training goes on from; a control's, which begins, is that of data and sources."""
    return digest_text(canonical_json([job.inputs, identity(earlier)])) if earlier.is_dir() else job.inputs


def _stand_in(candidate: Path, number: int) -> FinetuneJob:
    return entry_of(candidate).job.model_copy(update={"name": f"rung{number + 1}-skip", "skip": True})
