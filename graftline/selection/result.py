"""The selection artifact: every candidate's row and learning curve, which one was chosen, and why."""

from graftline.models.checkpoint import CandidateResult, EpochRecord
from graftline.runtime.manifest import Manifest
from graftline.selection.tournament.race import RungResult


class Selection(Manifest):
    """What `select` decided, by validation alone. Folder: `manifest.json`."""

    names: list[str]
    """The candidates' names, in the order of `rows`."""
    rows: list[CandidateResult]
    histories: dict[str, list[EpochRecord]]
    """Candidate name to its learning curve."""
    chosen: str
    """Name of the chosen candidate."""
    control: str
    """Name of the control that has the chosen candidate's network."""
    why: list[str]
    """Sentences: the best score, what lay within its standard error, what was cheapest."""
    cross_validated: bool
    """Whether scores come from folds over train and validation."""
    stands: list[RungResult] = []
    """Of a tournament: where each candidate stood at the end of each rung that it trained in."""
    ends: list[int] = []
    """Images that each candidate of a tournament had been shown at a rung's end, where it was trained so far."""
    budget: int = 0
    """Images that the tournament could show."""
