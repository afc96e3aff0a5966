"""The end of a tournament's rung: the better candidates continue. Reads manifests, never weights."""

from pathlib import Path

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.runtime import events, manifest
from graftline.runtime.links import link_folder
from graftline.selection.tournament.cut import EndedRung, cut, next_jobs
from graftline.selection.tournament.race import Race, RaceEntry, entry_of, seconds_of, stand_of


def halve(job: RaceJob, *, candidates: list[Path], before: Path | None = None, out: Path) -> list[FinetuneJob]:
    """Ranks a rung's candidates and passes on the better ones, with their checkpoints and states.

    A third continues, by validation score; of equal ones the cheaper. So do those within one standard error of the
    best, as far as the budget allows, the best of each source and strategy first. Candidates whose training is complete
    stay in the race and need no work. If time is limited and runs out, fewer continue, and the last one ends early.

    Args:
        job: Sizes and lengths of the rungs, the budget, the controls.
        candidates: Checkpoints of this rung.
        before: The artifact of `halve` for the previous rung; None after the first.
        out: Becomes a folder with a checkpoint for each candidate still in the race, and the manifest of all rungs.

    Returns:
        What to train in the next rung, in the last one the controls too; never empty: a single candidate to skip if
        nothing is left to train.
    """
    past = manifest.read(before, Race) if before is not None else None
    entries = [entry for entry in map(entry_of, candidates) if not entry.job.skip]
    number = max((stand.rung for stand in past.stands), default=1) + 1 if past else 1
    earlier = past.stands if past else []
    rung = EndedRung(job, number, [*earlier, *(stand_of(entry, number) for entry in entries)])
    kept, left = cut(rung, entries)
    ended = [entry for entry in entries if entry.ok and entry.over] + _ended_before(past, before, entries)
    out.mkdir(parents=True, exist_ok=True)
    for entry in [*kept, *ended]:
        link_folder(entry.folder, out / entry.manifest.name)
    leaving = {entry.manifest.name: entry.manifest for entry in entries if entry.manifest.name in left}
    stands = [*earlier, *(stand_of(entry, number, left.get(entry.manifest.name, "")) for entry in entries)]
    manifest.write(
        out,
        Race(
            sizes=job.sizes,
            ends=job.ends,
            images=job.images,
            passes=job.passes,
            minutes=job.minutes,
            stands=stands,
            rows=(past.rows if past else {}) | {name: found.row for name, found in leaving.items()},
            histories=(past.histories if past else {}) | {name: found.history for name, found in leaving.items()},
        ),
        hashed=False,
    )
    events.log(
        f"rung {number}: {len(entries)} candidates, {len(kept)} continue, {len(ended)} are complete, "
        f"{len(left)} leave; {seconds_of(stands):.0f} s of training so far"
    )
    for name, why in left.items():
        events.log(f"{name} leaves: {why}")
    return next_jobs(rung, kept, ended, out) or [
        entry_of(candidates[0]).job.model_copy(update={"name": f"rung{number + 1}-skip", "skip": True})
    ]


def _ended_before(past: Race | None, before: Path | None, now: list[RaceEntry]) -> list[RaceEntry]:
    """Returns the candidates whose training was complete before this rung."""
    if past is None or before is None:
        return []
    again = {entry.manifest.name for entry in now}
    last = {stand.name: stand for stand in past.stands}
    return [
        entry_of(before / name)
        for name, stand in last.items()
        if stand.status == "ok" and not stand.left and name not in again
    ]
