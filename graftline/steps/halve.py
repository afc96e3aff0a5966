"""Ends a rung of a tournament and selects the candidates that continue. Reads only manifests, no weights."""

from pathlib import Path

from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.runtime import events, manifest
from graftline.runtime.links import link_folder
from graftline.selection.tournament.cut import EndedRung, cut, next_jobs
from graftline.selection.tournament.race import Race, RaceEntry, entry_of, seconds_of, stand_of


def halve(job: RaceJob, *, candidates: list[Path], before: Path | None = None, out: Path) -> list[FinetuneJob]:
    """Ranks the candidates of a rung and selects those that continue, with their checkpoints and states.

    The best third by validation score continues; ties are broken by lower cost. Candidates within one standard error of
    the best also continue if the budget allows, the best of each source and strategy first. Candidates whose training
    is complete remain in the tournament without further training. If the remaining time is too short, fewer candidates
    continue, and if it is too short for a single one, the training of that candidate ends early.

    Args:
        job: The sizes and lengths of the rungs, the budget, and the controls.
        candidates: Checkpoints of this rung.
        before: The artifact of `halve` for the previous rung; None after the first rung.
        out: Folder for the checkpoints of the remaining candidates and the manifest of all rungs.

    Returns:
        The jobs of the next rung, including the controls in the last rung; a single job to skip if no training remains.
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
