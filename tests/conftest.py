"""What every room's tests share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads else spin: 10x slower on shared cores


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights, where they are at hand."""
    place = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("skipped: no ../shared/data")
    return place
