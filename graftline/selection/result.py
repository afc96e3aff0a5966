"""Defines the selection artifact: results and learning curves of all candidates, the choice and its reasons."""

from graftline.models.checkpoint import CandidateResult, EpochRecord
from graftline.runtime.manifest import Manifest
from graftline.selection.tournament.race import RungResult


class Selection(Manifest):
    """Result of `select`, based on validation only. Folder: `manifest.json`."""

    names: list[str]
    """Names of the candidates, in the order of `rows`."""
    rows: list[CandidateResult]
    """Results of the candidates."""
    histories: dict[str, list[EpochRecord]]
    """Learning curves by candidate name."""
    chosen: str
    """Name of the chosen candidate."""
    control: str
    """Name of the control that has the same network as the chosen candidate."""
    why: list[str]
    """Reasons for the choice, one sentence each."""
    cross_validated: bool
    """Whether scores come from cross-validation over the training and validation splits."""
    stands: list[RungResult] = []
    """Results of each candidate at the end of each rung in which it trained; empty without a tournament."""
    ends: list[int] = []
    """Training images seen by a candidate at the end of each rung of a tournament."""
    budget: int = 0
    """Budget of the tournament in training images seen."""
