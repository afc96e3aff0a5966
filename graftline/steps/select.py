"""Selects a candidate by its validation score. Reads only manifests, no weights."""

from pathlib import Path
from typing import Any

from graftline.config.jobs import FinetuneJob, SelectJob
from graftline.runtime import events, manifest
from graftline.runtime.links import link_folder
from graftline.selection.choice import choose, confirmations, control_of, no_candidate
from graftline.selection.result import Selection
from graftline.selection.tournament.race import Race, RaceEntry, entry_of, stand_of


def select(
    job: SelectJob, *, candidates: list[Path], chosen: Path, control: Path, out: Path, race: Path | None = None
) -> list[FinetuneJob]:
    """Selects the candidate with the best validation score, or a cheaper one within one standard error of it.

    Args:
        job: The selection job, with the number of seeds that confirm the choice.
        candidates: Checkpoints written by `finetune`, including the controls.
        chosen: Folder for the chosen checkpoint.
        control: Folder for the checkpoint of the control with the same network as the chosen candidate.
        out: Folder for the selection artifact.
        race: The artifact of `halve` before the last rung of a tournament, whose completed candidates are included;
            None without a tournament.

    Returns:
        The jobs to train again with additional seeds; a single job to skip if only one seed is requested.

    Raises:
        RefusedError: No candidate or no control trained successfully; the message gives the reason for each.
        DivergedError: The same, if training diverged or ran out of memory.
    """
    finalists = [entry for entry in map(entry_of, candidates) if not entry.job.skip]
    past = manifest.read(race, Race) if race is not None else None
    entries = finalists if past is None or race is None else _completed(past, race, finalists) + finalists
    transfers = [entry for entry in entries if not entry.job.is_control]
    if not any(entry.ok for entry in transfers):
        raise no_candidate((past.rows if past else {}) | {e.manifest.name: e.manifest.row for e in transfers})
    best, why = choose([entry for entry in transfers if entry.ok])
    opponent = control_of(best, entries)
    link_folder(best.folder, chosen)
    link_folder(opponent.folder, control)
    out.mkdir(parents=True, exist_ok=True)
    manifest.write(
        out,
        Selection(
            **_results(past, entries, finalists),
            chosen=best.manifest.name,
            control=opponent.manifest.name,
            why=why,
            cross_validated=best.job.cross_validate,
        ),
    )
    for line in why:
        events.log(line)
    return confirmations(best, opponent, job.confirm_seeds)


def _completed(past: Race, race: Path, finalists: list[RaceEntry]) -> list[RaceEntry]:
    """Returns the candidates of a tournament whose training was complete before the last rung."""
    again = {entry.manifest.name for entry in finalists}
    names = dict.fromkeys(stand.name for stand in past.stands)
    return [entry_of(race / name) for name in names if name not in again and (race / name).is_dir()]


def _results(past: Race | None, entries: list[RaceEntry], finalists: list[RaceEntry]) -> dict[str, Any]:
    """Returns the rows and learning curves of all candidates and the rungs of a tournament."""
    rows = (past.rows if past else {}) | {entry.manifest.name: entry.manifest.row for entry in entries}
    curves = (past.histories if past else {}) | {entry.manifest.name: entry.manifest.history for entry in entries}
    results: dict[str, Any] = {"names": list(rows), "rows": list(rows.values()), "histories": curves}
    if past is None or not past.ends:
        return results
    last = [stand_of(entry, len(past.ends)) for entry in finalists if not entry.job.is_control]
    return results | {
        "stands": past.stands + last,
        "ends": [end * past.images for end in past.ends],
        "budget": past.passes * past.images,
    }
