from pathlib import Path

import numpy as np
import pytest

from graftline.data.formats.digits import FORMAT, degrade_scans, make_clean_and_scanned
from graftline.runtime.errors import RefusedError
from tests.builders.reading import locate


def test_halves_are_disjoint_and_deterministic() -> None:
    (clean, clean_labels), (scanned, scanned_labels) = make_clean_and_scanned()
    assert clean.shape == (899, 16, 16)
    assert scanned.shape == (898, 16, 16)
    assert len(clean_labels) + len(scanned_labels) == 1797
    (again, _), (scanned_again, _) = make_clean_and_scanned()
    assert np.array_equal(clean, again)
    assert np.array_equal(scanned, scanned_again)


def test_scans_are_dimmed_and_noisy() -> None:
    generator = np.random.default_rng(0)
    dark = degrade_scans(np.zeros((400, 16, 16), np.uint8), generator)
    assert dark.mean() == pytest.approx(45 / np.sqrt(2 * np.pi), abs=0.3)  # the upper half of the noise
    center = degrade_scans(np.full((400, 16, 16), 200, np.uint8), generator)[:, 2:-2, 2:-2].mean(axis=(1, 2))
    assert center.min() == pytest.approx(0.4 * 200, abs=8)
    assert center.max() == pytest.approx(0.9 * 200, abs=8)


def test_scans_are_shifted_by_up_to_two_pixels() -> None:
    dot = np.zeros((400, 16, 16), np.uint8)
    dot[:, 6:10, 6:10] = 255
    moved = degrade_scans(dot, np.random.default_rng(0)).astype(float)
    rows = moved[:, :, 4:12].mean(axis=(0, 2))
    assert rows[4] > rows[3] + 5
    assert rows[11] > rows[12] + 5


def test_scanned_digits_have_five_training_and_five_validation_images_per_class() -> None:
    with FORMAT.open(locate(Path("builtin:digits/scanned"))) as raw:
        for split, each in (("train", 5), ("val", 5)):
            labels = [sample.label for sample in raw.samples if sample.split == split]
            assert sorted(labels) == sorted([str(digit) for digit in range(10)] * each)
        assert sum(sample.split == "test" for sample in raw.samples) == 798


def test_clean_digits_have_no_splits() -> None:
    with FORMAT.open(locate(Path("builtin:digits/clean"))) as raw:
        assert {sample.split for sample in raw.samples} == {None}


def test_an_unknown_builtin_dataset_is_refused() -> None:
    with (
        pytest.raises(
            RefusedError, match="builtin:digits/dirty: unknown built-in dataset; use builtin:digits/clean or"
        ),
        FORMAT.open(locate(Path("builtin:digits/dirty"))),
    ):
        pass
