from pathlib import Path

import numpy as np
import pytest

from graftline.data.formats.digits import FORMAT, _scan, clean_and_scanned
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import at


def test_halves_share_no_sample_and_are_drawn_once_and_for_all() -> None:
    (clean, clean_labels), (scanned, scanned_labels) = clean_and_scanned()
    assert clean.shape == (899, 16, 16)
    assert scanned.shape == (898, 16, 16)
    assert len(clean_labels) + len(scanned_labels) == 1797
    (again, _), (scanned_again, _) = clean_and_scanned()
    assert np.array_equal(clean, again)
    assert np.array_equal(scanned, scanned_again)


def test_the_worse_scanner_dims_and_adds_noise() -> None:
    generator = np.random.default_rng(0)
    dark = _scan(np.zeros((400, 16, 16), np.uint8), generator)
    assert dark.mean() == pytest.approx(45 / np.sqrt(2 * np.pi), abs=0.3)  # the upper half of the noise
    centre = _scan(np.full((400, 16, 16), 200, np.uint8), generator)[:, 2:-2, 2:-2].mean(axis=(1, 2))
    assert centre.min() == pytest.approx(0.4 * 200, abs=8)
    assert centre.max() == pytest.approx(0.9 * 200, abs=8)


def test_the_worse_scanner_shifts_by_up_to_two_pixels() -> None:
    dot = np.zeros((400, 16, 16), np.uint8)
    dot[:, 6:10, 6:10] = 255
    moved = _scan(dot, np.random.default_rng(0)).astype(float)
    rows = moved[:, :, 4:12].mean(axis=(0, 2))
    assert rows[4] > rows[3] + 5
    assert rows[11] > rows[12] + 5


def test_scanned_has_five_labels_a_class_to_train_on_and_five_to_choose_by() -> None:
    with FORMAT.read(at(Path("builtin:digits/scanned"))) as raw:
        for split, each in (("train", 5), ("val", 5)):
            labels = [sample.label for sample in raw.samples if sample.split == split]
            assert sorted(labels) == sorted([str(digit) for digit in range(10)] * each)
        assert sum(sample.split == "test" for sample in raw.samples) == 798


def test_clean_gives_no_split() -> None:
    with FORMAT.read(at(Path("builtin:digits/clean"))) as raw:
        assert {sample.split for sample in raw.samples} == {None}


def test_another_name_is_refused() -> None:
    with (
        pytest.raises(RefusedError, match="builtin:digits/dirty: not built in; there are builtin:digits/clean and"),
        FORMAT.read(at(Path("builtin:digits/dirty"))),
    ):
        pass
