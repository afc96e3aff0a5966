"""What became of a tournament so far: an artifact with the candidates still in it, a checkpoint folder each."""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from graftline.config.jobs import Candidate
from graftline.models.checkpoint import CheckpointManifest, Epoch, Row
from graftline.runtime import manifest
from graftline.runtime.manifest import Manifest


@dataclass(frozen=True)
class Entry:
    """A checkpoint that `finetune` made, and what it was told."""

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
        return -math.inf if value is None or math.isnan(value) else value

    @property
    def over(self) -> bool:
        """Whether its training came to its end rather than to a pause."""
        return self.job.until is None or self.manifest.row.presentations < self.job.until


def entry_of(folder: Path) -> Entry:
    """Reads a candidate's checkpoint, its manifest only."""
    found = manifest.read(folder, CheckpointManifest)
    return Entry(folder, found, Candidate.model_validate_json(found.config))


class Stand(BaseModel):
    """Where a candidate stood at the end of one rung."""

    name: str
    rung: int
    """From 1."""
    score: float | None
    error: float | None
    """Its standard error."""
    presentations: int
    """Since the beginning."""
    train_seconds: float
    """Since the beginning."""
    status: str
    over: bool
    """Whether its training is through."""
    left: str = ""
    """Why it goes no further; empty where it does, or where it is through."""


class Race(Manifest):
    """Folder: `manifest.json` and for each candidate still in the race `<name>/`, its last checkpoint."""

    sizes: list[int]
    ends: list[int]
    """Passes over the training split, at each rung's end."""
    images: int
    passes: int
    """The budget."""
    minutes: float | None
    stands: list[Stand]
    """Of all rungs so far."""
    rows: dict[str, Row]
    """Of those who left, by name."""
    histories: dict[str, list[Epoch]]
    """Likewise, their learning curves."""


def stand_of(entry: Entry, rung: int, left: str = "") -> Stand:
    """Returns where a candidate stands."""
    row = entry.manifest.row
    score = row.val_score if row.val_score is not None and math.isfinite(row.val_score) else None
    return Stand(
        name=entry.manifest.name,
        rung=rung,
        score=score,
        error=row.val_score_se,
        presentations=row.presentations,
        train_seconds=row.train_seconds,
        status=row.status,
        over=entry.over,
        left=left if entry.ok else f"{row.status}: {row.reason}",
    )


def seconds_of(stands: list[Stand]) -> float:
    """Returns the time of all trainings so far, added up."""
    last = {each.name: each.train_seconds for each in sorted(stands, key=lambda each: each.rung)}
    return sum(last.values())
