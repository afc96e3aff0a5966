"""The split ledger of an earlier run, from wherever it lies."""

from pathlib import Path

from graftline.data.dataset import LEDGER
from graftline.data.splits.ledger import Ledger, read
from graftline.storage import access


def earlier_ledger(place: str | None, scratch: Path) -> Ledger | None:
    """Reads the ledger that a config names.

    Args:
        place: The ledger's file, or a dataset artifact's folder; local or gs://.
        scratch: Where a bucket's file comes to.

    Raises:
        RefusedError: It cannot be read, or is no ledger.
    """
    return None if place is None else read(access.local(ledger_file(place), scratch))


def ledger_file(place: str) -> str:
    """Where the ledger lies, given itself or its folder."""
    return place if place.endswith(".json") else f"{place.rstrip('/')}/{LEDGER}"
