"""Preprocessing jobs and the raw data for them."""

from pathlib import Path
from typing import Any

from graftline.config import Data
from graftline.config.jobs import PreprocessJob
from tests.builders.raw_data import make_images


def preprocess_job(
    data: Path | str | None, image_size: int | None = None, seed: int = 0, **options: Any
) -> PreprocessJob:
    settings = Data(data=str(data) if data else None, **options)
    return PreprocessJob(label="pets", data=settings, image_size=image_size, seed=seed, fingerprint="sha256:f")


def ants_and_bees(count: int = 20) -> dict[str, bytes]:
    """Returns `count` different images of each of two classes, by file name."""
    return make_images([f"{label}/{number}.png" for label in ("ants", "bees") for number in range(count)])
