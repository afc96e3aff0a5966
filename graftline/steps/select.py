"""Finished candidates to the chosen one, by validation only. Reads manifests, never weights."""

from pathlib import Path
from typing import Any

from graftline.config.jobs import FinetuneJob, SelectJob
from graftline.models.checkpoint import CandidateResult
from graftline.runtime import events, manifest
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.selection.result import Selection
from graftline.selection.tournament.race import Race, RaceEntry, entry_of, stand_of
from graftline.steps.plan import link


def select(
    job: SelectJob, *, candidates: list[Path], chosen: Path, control: Path, out: Path, race: Path | None = None
) -> list[FinetuneJob]:
    """Chooses the best candidate by balanced accuracy; within one standard error of it the cheaper wins.

    Args:
        job: How many seeds are to confirm the choice.
        candidates: Checkpoints that `finetune` made, controls among them.
        chosen: Becomes the chosen checkpoint.
        control: Becomes the control with the chosen one's network.
        out: Becomes the selection artifact.
        race: Of a tournament, what `halve` made of the last rung but one: its candidates that are through take part.

    Returns:
        What to train again with further seeds; a single candidate to skip where one seed was asked for.

    Raises:
        RefusedError: No candidate came to a model, or the control did not; gives each one's reason.
        DivergedError: The same, where a training diverged or memory did not suffice.
    """
    finalists = [entry for entry in map(entry_of, candidates) if not entry.job.skip]
    past = manifest.read(race, Race) if race is not None else None
    entries = finalists if past is None or race is None else _still_in(past, race, finalists) + finalists
    transfers = [entry for entry in entries if not entry.job.is_control]
    if not any(entry.ok for entry in transfers):
        rows = (past.rows if past else {}) | {entry.manifest.name: entry.manifest.row for entry in transfers}
        raise _failure(list(rows.values()))(
            "no candidate came to a model: "
            + "; ".join(_told(name, row) for name, row in rows.items() if row.status != "ok")
        )
    best, why = _choose([entry for entry in transfers if entry.ok])
    opponent = _control_of(best, entries)
    link(best.folder, chosen)
    link(opponent.folder, control)
    manifest.write(
        _made(out),
        Selection(
            **_listed(past, entries, finalists),
            chosen=best.manifest.name,
            control=opponent.manifest.name,
            why=why,
            cross_validated=best.job.cross_validate,
        ),
    )
    for line in why:
        events.log(line)
    return _confirmations(job, best, opponent)


def _still_in(past: Race, race: Path, finalists: list[RaceEntry]) -> list[RaceEntry]:
    """Returns the candidates of a tournament that did not have to train in its last rung."""
    again = {entry.manifest.name for entry in finalists}
    names = dict.fromkeys(stand.name for stand in past.stands)
    return [entry_of(race / name) for name in names if name not in again and (race / name).is_dir()]


def _listed(past: Race | None, entries: list[RaceEntry], finalists: list[RaceEntry]) -> dict[str, Any]:
    """Returns all candidates' rows and curves, and the rungs of a tournament."""
    rows = (past.rows if past else {}) | {entry.manifest.name: entry.manifest.row for entry in entries}
    curves = (past.histories if past else {}) | {entry.manifest.name: entry.manifest.history for entry in entries}
    found: dict[str, Any] = {"names": list(rows), "rows": list(rows.values()), "histories": curves}
    if past is None or not past.ends:
        return found
    last = [stand_of(entry, len(past.ends)) for entry in finalists if not entry.job.is_control]
    return found | {
        "stands": past.stands + last,
        "ends": [end * past.images for end in past.ends],
        "budget": past.passes * past.images,
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _told(name: str, row: CandidateResult) -> str:
    return f"{name}: {row.status} ({row.reason})"


def _cost(entry: RaceEntry) -> tuple[int, float]:
    return entry.manifest.row.trained_parameters, entry.manifest.row.train_seconds


def _choose(entries: list[RaceEntry]) -> tuple[RaceEntry, list[str]]:
    best = max(entries, key=lambda entry: (entry.score, tuple(-cost for cost in _cost(entry))))
    if best.manifest.row.val_score is None:
        cheapest = min(entries, key=_cost)
        return cheapest, [f"{cheapest.manifest.name}: no validation images to choose by, so the cheapest"]
    error = best.manifest.row.val_score_se or 0.0
    near = [entry for entry in entries if entry.score >= best.score - error]
    cheapest = min(near, key=_cost)
    why = [
        f"best on validation: {best.manifest.name} with {best.score:.3f}, standard error {error:.3f} "
        f"({best.manifest.row.val_method})"
    ]
    if cheapest is not best:
        why.append(
            f"within one standard error and cheaper: {cheapest.manifest.name} with {cheapest.score:.3f}, "
            f"{cheapest.manifest.row.trained_parameters} trained parameters against "
            f"{best.manifest.row.trained_parameters}"
        )
    return cheapest, why


def _control_of(chosen: RaceEntry, entries: list[RaceEntry]) -> RaceEntry:
    controls = {entry.job.name: entry for entry in entries if entry.job.is_control}
    opponent = controls.get(chosen.job.opponent)
    if opponent is None:
        raise RefusedError(
            f"{chosen.job.name}: its control {chosen.job.opponent!r} is not among the candidates "
            f"({', '.join(controls) or 'no control at all'}); give select all that plan listed"
        )
    if not opponent.ok:
        row = opponent.manifest.row
        raise _failure([row])(f"the control came to no model, so no gain can be shown: {_told(opponent.job.name, row)}")
    return opponent


def _failure(rows: list[CandidateResult]) -> type[RefusedError | DivergedError]:
    """A training that went wrong is a failure; what could not begin is a refusal."""
    return DivergedError if any(row.status in ("diverged", "oom") for row in rows) else RefusedError


def _confirmations(job: SelectJob, chosen: RaceEntry, control: RaceEntry) -> list[FinetuneJob]:
    if job.confirm_seeds == 1:
        return [chosen.job.model_copy(update={"name": f"{chosen.job.name}-skip", "skip": True})]
    again: list[FinetuneJob] = []
    for number in range(1, job.confirm_seeds):
        for entry, rate in ((chosen, None), (control, control.manifest.row.learning_rate)):
            again.append(
                entry.job.model_copy(
                    update={
                        "name": f"{entry.job.name}-seed{number}",
                        "seed": entry.job.seed + number,
                        "cross_validate": False,
                        "control_rate": rate,
                    }
                )
            )
    return again
