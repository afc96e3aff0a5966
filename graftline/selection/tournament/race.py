"""Defines the artifact with the state of a tournament: results so far and checkpoints of the remaining candidates."""

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
    """A checkpoint that `finetune` wrote, with the job that produced it."""

    folder: Path
    manifest: CheckpointManifest
    job: FinetuneJob

    @property
    def ok(self) -> bool:
        """Whether the candidate trained successfully."""
        return self.manifest.row.status == "ok"

    @property
    def score(self) -> float:
        """Main metric on the validation split; -inf if it is missing or NaN."""
        value = self.manifest.row.val_score
        return -math.inf if value is None or math.isnan(value) else value

    @property
    def over(self) -> bool:
        """Whether the training is complete rather than paused."""
        return self.job.until is None or self.manifest.row.examples_seen < self.job.until


def entry_of(folder: Path) -> RaceEntry:
    """Reads the manifest of a candidate's checkpoint, without the weights."""
    found = manifest.read(folder, CheckpointManifest)
    return RaceEntry(folder, found, FinetuneJob.model_validate_json(found.config))


class RungResult(BaseModel):
    """Result of a candidate at the end of one rung."""

    name: str
    rung: int
    """Number of the rung, starting at 1."""
    score: float | None
    error: float | None
    """Standard error of `score`."""
    examples_seen: int = Field(validation_alias=AliasChoices("examples_seen", "presentations"))
    """Training images seen since the start of the training."""
    train_seconds: float
    """Training time in seconds since the start of the training."""
    status: str
    over: bool
    """Whether the training is complete."""
    left: str = ""
    """Reason why the candidate does not continue; empty if it continues or its training is complete."""


class Race(Manifest):
    """State of a tournament. Folder: `manifest.json` and `<name>/`, the latest checkpoint of a remaining candidate."""

    sizes: list[int]
    """Number of candidates in each rung."""
    ends: list[int]
    """Passes over the training split that a candidate has completed at the end of each rung."""
    images: int
    """Number of images in the training split."""
    passes: int
    """Budget of the tournament, in passes over the training split."""
    minutes: float | None
    """Limit of the total training time in minutes."""
    stands: list[RungResult]
    """Results of all rungs so far."""
    rows: dict[str, CandidateResult]
    """Results of the candidates that do not continue, by name."""
    histories: dict[str, list[EpochRecord]]
    """Learning curves of the candidates that do not continue, by name."""


def stand_of(entry: RaceEntry, rung: int, left: str = "") -> RungResult:
    """Returns the result of a candidate at the end of a rung."""
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
    """Returns the total training time of all candidates so far, in seconds."""
    last = {each.name: each.train_seconds for each in sorted(stands, key=lambda each: each.rung)}
    return sum(last.values())
