"""Chooses a trained candidate: the best on validation, or a cheaper one within one standard error of the best."""

from graftline.config.jobs import FinetuneJob
from graftline.models.checkpoint import CandidateResult
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.selection.tournament.race import RaceEntry


def choose(entries: list[RaceEntry]) -> tuple[RaceEntry, list[str]]:
    """Returns the chosen candidate and the reasons for the choice, one sentence per reason.

    Args:
        entries: At least one successfully trained candidate, without the controls.
    """
    best = max(entries, key=lambda entry: (entry.score, tuple(-cost for cost in _cost(entry))))
    if best.manifest.row.val_score is None:
        cheapest = min(entries, key=_cost)
        return cheapest, [f"{cheapest.manifest.name}: no validation images to choose by, so the cheapest candidate"]
    error = best.manifest.row.val_score_se or 0.0
    cheapest = min((entry for entry in entries if entry.score >= best.score - error), key=_cost)
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


def control_of(chosen: RaceEntry, entries: list[RaceEntry]) -> RaceEntry:
    """Returns the control that has the same network as the chosen candidate.

    Raises:
        RefusedError: The control is missing, or its training could not start.
        DivergedError: The training of the control diverged or ran out of memory.
    """
    controls = {entry.job.name: entry for entry in entries if entry.job.is_control}
    control = controls.get(chosen.job.opponent)
    if control is None:
        raise RefusedError(
            f"{chosen.job.name}: its control {chosen.job.opponent!r} is not among the candidates "
            f"({', '.join(controls) or 'no control at all'}); give select all that plan listed"
        )
    if not control.ok:
        row = control.manifest.row
        raise _error_class([row])(
            f"the control did not train successfully, so no gain can be shown: {_status(control.job.name, row)}"
        )
    return control


def confirmations(chosen: RaceEntry, control: RaceEntry, n_seeds: int) -> list[FinetuneJob]:
    """Returns the jobs that train the candidate and its control with additional seeds.

    Args:
        chosen: The chosen candidate.
        control: The control of the chosen candidate. Controls with additional seeds use its learning rate.
        n_seeds: Total number of seeds, including the first one.

    Returns:
        Two jobs for each additional seed. If `n_seeds` is 1, a single job with `skip` set.
    """
    if n_seeds == 1:
        return [chosen.job.model_copy(update={"name": f"{chosen.job.name}-skip", "skip": True})]
    return [
        entry.job.model_copy(
            update={
                "name": f"{entry.job.name}-seed{number}",
                "seed": entry.job.seed + number,
                "cross_validate": False,
                "control_rate": rate,
            }
        )
        for number in range(1, n_seeds)
        for entry, rate in ((chosen, None), (control, control.manifest.row.learning_rate))
    ]


def no_candidate(rows: dict[str, CandidateResult]) -> RefusedError | DivergedError:
    """Returns the error for a run in which no candidate trained successfully, with the reason for each candidate."""
    return _error_class(list(rows.values()))(
        "no candidate trained successfully: "
        + "; ".join(_status(name, row) for name, row in rows.items() if row.status != "ok")
    )


def _error_class(rows: list[CandidateResult]) -> type[RefusedError | DivergedError]:
    """Returns `DivergedError` if a training diverged or ran out of memory, else `RefusedError`."""
    return DivergedError if any(row.status in ("diverged", "oom") for row in rows) else RefusedError


def _status(name: str, row: CandidateResult) -> str:
    return f"{name}: {row.status} ({row.reason})"


def _cost(entry: RaceEntry) -> tuple[int, float]:
    return entry.manifest.row.trained_parameters, entry.manifest.row.train_seconds
