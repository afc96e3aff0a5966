"""Fixtures shared by all tests."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import fake_bucket
from tests.builders.fake_bucket import Bucket

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # otherwise torch's threads spin, 10 times slower on shared cores


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real images and weights; skips the test if it does not exist."""
    folder = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("skipped: no ../shared/data")
    return folder


@pytest.fixture(autouse=True)
def seed_torch() -> None:
    """Seeds torch, so that a test draws the same weights and images every time. Does not import torch."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Local server of a bucket, with retries that do not wait."""
    from graftline.storage.gcs import client  # takes a second to import

    with fake_bucket.serving() as served:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", served.url)
        monkeypatch.setattr(client, "FIRST_DELAY", 0.01)
        yield served
