"""What every room's tests share."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import fake_bucket
from tests.builders.fake_bucket import Bucket

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads else spin: 10x slower on shared cores


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and weights, where they are at hand."""
    place = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip("skipped: no ../shared/data")
    return place


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """A test draws the same weights and images every time; torch is not loaded for those that do without."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A served bucket, asked again without delay."""
    from graftline.storage.gcs import client  # takes a second, so only who asks for a bucket pays it

    with fake_bucket.serving() as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
        yield served
