"""What became of a tournament so far: an artifact with the candidates still in it, a checkpoint folder each."""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field

from graftline.config.jobs import FinetuneJob
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.runtime import manifest
from graftline.runtime.manifest import Manifest


@dataclass(frozen=True)
class RaceEntry:
    """A checkpoint that `finetune` made, and what it was told."""

    folder: Path
    manifest: CheckpointManifest
    job: FinetuneJob

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
        return self.job.until is None or self.manifest.row.examples_seen < self.job.until


def entry_of(folder: Path) -> RaceEntry:
    """Reads a candidate's checkpoint, its manifest only."""
    found = manifest.read(folder, CheckpointManifest)
    return RaceEntry(folder, found, FinetuneJob.model_validate_json(found.config))


class RungResult(BaseModel):
    """Where a candidate stood at the end of one rung."""

    name: str
    rung: int
    """From 1."""
    score: float | None
    error: float | None
    """Its standard error."""
    examples_seen: int = Field(validation_alias=AliasChoices("examples_seen", "presentations"))
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
    stands: list[RungResult]
    """Of all rungs so far."""
    rows: dict[str, CandidateResult]
    """Of those who left, by name."""
    histories: dict[str, list[EpochRecord]]
    """Likewise, their learning curves."""


def stand_of(entry: RaceEntry, rung: int, left: str = "") -> RungResult:
    """Returns where a candidate stands."""
    row = entry.manifest.row
    score = row.val_score if row.val_score is not None and math.isfinite(row.val_score) else None
    return RungResult(
        name=entry.manifest.name,
        rung=rung,
        score=score,
        error=row.val_score_se,
        examples_seen=row.examples_seen,
        train_seconds=row.train_seconds,
        status=row.status,
        over=entry.over,
        left=left if entry.ok else f"{row.status}: {row.reason}",
    )


def seconds_of(stands: list[RungResult]) -> float:
    """Returns the time of all trainings so far, added up."""
    last = {each.name: each.train_seconds for each in sorted(stands, key=lambda each: each.rung)}
    return sum(last.values())
