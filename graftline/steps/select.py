"""Finished candidates to the chosen one, by validation only. Reads manifests, never weights."""

import math
from dataclasses import dataclass
from pathlib import Path

from graftline import events, manifest
from graftline.checkpoint import CheckpointManifest
from graftline.errors import DivergedError, RefusedError
from graftline.jobs import Candidate, SelectJob
from graftline.selection import Selection
from graftline.steps.plan import link


@dataclass(frozen=True)
class Entry:
    """A finished candidate."""

    folder: Path
    manifest: CheckpointManifest
    job: Candidate

    @property
    def ok(self) -> bool:
        """Whether there is a model."""
        return self.manifest.row.status == "ok"

    @property
    def score(self) -> float:
        """Main metric on validation; below all where there is none, or it is no number."""
        value = self.manifest.row.val_score
        return -1.0 if value is None or math.isnan(value) else value


def select(job: SelectJob, *, candidates: list[Path], chosen: Path, control: Path, out: Path) -> list[Candidate]:
    """Chooses the best candidate by balanced accuracy; within one standard error of it the cheaper wins.

    Args:
        job: How many seeds are to confirm the choice.
        candidates: Checkpoints that `finetune` made, controls among them.
        chosen: Becomes the chosen checkpoint.
        control: Becomes the control with the chosen one's network.
        out: Becomes the selection artifact.

    Returns:
        What to train again with further seeds; a single candidate to skip where one seed was asked for.

    Raises:
        RefusedError: No candidate came to a model, or the control did not; gives each one's reason.
        DivergedError: The same, where a training diverged or memory did not suffice.
    """
    entries = [_entry(folder) for folder in candidates]
    transfers = [entry for entry in entries if not entry.job.is_control]
    if not any(entry.ok for entry in transfers):
        raise _failure(transfers)("no candidate came to a model: " + "; ".join(map(_told, transfers)))
    best, why = _choose([entry for entry in transfers if entry.ok])
    opponent = _control_of(best, entries)
    link(best.folder, chosen)
    link(opponent.folder, control)
    manifest.write(_made(out), Selection(
        names=[entry.manifest.name for entry in entries], rows=[entry.manifest.row for entry in entries],
        histories={entry.manifest.name: entry.manifest.history for entry in entries},
        chosen=best.manifest.name, control=opponent.manifest.name, why=why, cross_validated=best.job.cross_validate))
    for line in why:
        events.log(line)
    return _confirmations(job, best, opponent)


def _entry(folder: Path) -> Entry:
    found = manifest.read(folder, CheckpointManifest)
    return Entry(folder, found, Candidate.model_validate_json(found.config))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _told(entry: Entry) -> str:
    return f"{entry.manifest.name}: {entry.manifest.row.status} ({entry.manifest.row.reason})"


def _cost(entry: Entry) -> tuple[int, float]:
    return entry.manifest.row.trained_parameters, entry.manifest.row.train_seconds


def _choose(entries: list[Entry]) -> tuple[Entry, list[str]]:
    best = max(entries, key=lambda entry: (entry.score, tuple(-cost for cost in _cost(entry))))
    if best.manifest.row.val_score is None:
        cheapest = min(entries, key=_cost)
        return cheapest, [f"{cheapest.manifest.name}: no validation images to choose by, so the cheapest"]
    error = best.manifest.row.val_score_se or 0.0
    near = [entry for entry in entries if entry.score >= best.score - error]
    cheapest = min(near, key=_cost)
    why = [f"best on validation: {best.manifest.name} with {best.score:.3f}, standard error {error:.3f} "
           f"({best.manifest.row.val_method})"]
    if cheapest is not best:
        why.append(f"within one standard error and cheaper: {cheapest.manifest.name} with {cheapest.score:.3f}, "
                   f"{cheapest.manifest.row.trained_parameters} trained parameters against "
                   f"{best.manifest.row.trained_parameters}")
    return cheapest, why


def _control_of(chosen: Entry, entries: list[Entry]) -> Entry:
    controls = {entry.job.name: entry for entry in entries if entry.job.is_control}
    opponent = controls.get(chosen.job.opponent)
    if opponent is None:
        raise RefusedError(f"{chosen.job.name}: its control {chosen.job.opponent!r} is not among the candidates "
                           f"({', '.join(controls) or 'no control at all'}); give select all that plan listed")
    if not opponent.ok:
        raise _failure([opponent])(f"the control came to no model, so no gain can be shown: {_told(opponent)}")
    return opponent


def _failure(entries: list[Entry]) -> type[RefusedError | DivergedError]:
    """A training that went wrong is a failure; what could not begin is a refusal."""
    return DivergedError if any(entry.manifest.row.status in ("diverged", "oom") for entry in entries) else RefusedError


def _confirmations(job: SelectJob, chosen: Entry, control: Entry) -> list[Candidate]:
    if job.confirm_seeds == 1:
        return [chosen.job.model_copy(update={"name": f"{chosen.job.name}-skip", "skip": True})]
    again: list[Candidate] = []
    for number in range(1, job.confirm_seeds):
        for entry, rate in ((chosen, None), (control, control.manifest.row.learning_rate)):
            again.append(entry.job.model_copy(update={
                "name": f"{entry.job.name}-seed{number}", "seed": entry.job.seed + number, "cross_validate": False,
                "control_rate": rate}))
    return again
