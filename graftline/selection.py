"""The selection artifact: every candidate's row and learning curve, which one was chosen, and why."""

from graftline.checkpoint import Epoch, Row
from graftline.manifest import Manifest


class Selection(Manifest):
    """What `select` decided, by validation alone. Folder: `manifest.json`."""

    names: list[str]
    """The candidates' names, in the order of `rows`."""
    rows: list[Row]
    histories: dict[str, list[Epoch]]
    """Candidate name to its learning curve."""
    chosen: str
    """Name of the chosen candidate."""
    control: str
    """Name of the control that has the chosen candidate's network."""
    why: list[str]
    """Sentences: the best score, what lay within its standard error, what was cheapest."""
    cross_validated: bool
    """Whether scores come from folds over train and validation."""
