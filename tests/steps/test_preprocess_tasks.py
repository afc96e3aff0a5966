"""Numbers and several labels from a table to a dataset artifact."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graftline.config import Data, TaskName
from graftline.config.jobs import PreprocessJob
from graftline.data import dataset
from graftline.data.dataset import StoredSample, content_digest
from graftline.data.labels.text import numbers_of
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import digest_text
from graftline.steps.preprocess import preprocess
from tests.builders.raw_data import make_images, write_folder
from tests.builders.tables import format_csv

NAMES = [f"{number:03}.png" for number in range(60)]


def data(folder: Path, rows: Sequence[Sequence[object]], *header: str) -> Path:
    write_folder(folder, make_images(NAMES))
    (folder / "labels.csv").write_text(
        format_csv([(name, *row) for name, row in zip(NAMES, rows, strict=True)], ("path", *header))
    )
    return folder


def job(place: Path, task: TaskName, **options: Any) -> PreprocessJob:
    return PreprocessJob(
        label="made",
        data=Data(data=str(place), near_duplicates=False, **options),
        image_size=None,
        seed=0,
        fingerprint="sha256:f",
        task=task,
    )


def test_numbers(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(50, 10, (60, 2)).round(3)
    place = data(tmp_path / "in", values.tolist(), "x", "y")
    told = preprocess(job(place, "regression", columns={"labels": ["x", "y"]}), out=tmp_path / "out")
    found = dataset.read(tmp_path / "out")
    assert (told.task, told.classes, told.counts) == ("regression", ["x", "y"], {})
    assert found.train.labels.shape == (told.sizes["train"], 2)
    assert found.train.labels.dtype == np.float32
    assert told.target_mean == pytest.approx(found.train.labels.astype(float).mean(0).tolist())
    assert told.target_std == pytest.approx(found.train.labels.astype(float).std(0).tolist())
    rows = np.concatenate([found.train.labels, found.val.labels, found.test.labels])
    samples = dataset.read_samples(tmp_path / "out")
    for sample, row in zip(samples, rows, strict=True):
        assert np.array_equal(row, values[NAMES.index(sample.key)].astype(np.float32))
    lines = "".join(
        sorted(f'["{sample.sha256}",{json.dumps(numbers_of(sample.label)).replace(" ", "")}]\n' for sample in samples)
    )
    assert told.digest == digest_text(lines)


def test_several_labels(tmp_path: Path) -> None:
    texts = ["cat|dog", "dog", "[]", "cat", "dog", "owl|dog"] * 10
    told = preprocess(
        job(data(tmp_path / "in", [(text,) for text in texts], "label"), "multilabel"), out=tmp_path / "out"
    )
    found = dataset.read(tmp_path / "out")
    assert (told.task, told.classes) == ("multilabel", ["cat", "dog", "owl"])
    assert {label: sum(counts.values()) for label, counts in told.counts.items()} == {"cat": 20, "dog": 40, "owl": 10}
    for split in ("train", "val", "test"):
        part = getattr(found, split).labels
        assert part.dtype == np.float32
        assert part.sum(0).tolist() == [told.counts[label][split] for label in told.classes]
        assert (part.sum(0) > 0).all()
    assert (found.train.labels.sum(1) == 0).any()


def test_a_picture_with_two_truths_is_told_and_stays_in_one_split(tmp_path: Path) -> None:
    place = data(tmp_path / "in", [(number,) for number in range(60)], "label")
    (place / NAMES[1]).write_bytes((place / NAMES[0]).read_bytes())
    told = preprocess(job(place, "regression"), out=tmp_path / "out")
    assert any("2 pictures" in note or "2 images show 1 pictures" in note for note in told.notes)
    assert any("more than one label, such as '000.png' ([0.0]) and '001.png' ([1.0])" in each for each in told.warnings)
    assert len({sample.split for sample in dataset.read_samples(tmp_path / "out") if sample.key in NAMES[:2]}) == 1


def test_a_number_far_from_all_others_is_named(tmp_path: Path) -> None:
    values = [(float(number % 7),) for number in range(60)]
    place = data(tmp_path / "in", values, "label")
    (place / "labels.csv").write_text(
        format_csv(
            [(name, -9999 if row == 10 else row % 7, "train" if row % 5 else "test") for row, name in enumerate(NAMES)],
            ("path", "label", "split"),
        )
    )
    told = preprocess(job(place, "regression"), out=tmp_path / "out")
    assert [each for each in told.warnings if "such as -9999 of '010.png'; where that stands for a missing" in each]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([3.0] * 59 + [4.0], "'label' is the same in all|no test image"),
        ([1.0] * 60, "all 60 images have the same label"),
    ],
)
def test_numbers_that_teach_nothing(tmp_path: Path, values: list[float], why: str) -> None:
    place = data(tmp_path / "in", [(value,) for value in values], "label")
    (place / "labels.csv").write_text(
        format_csv(
            [(name, value, "test" if value == 4 else "train") for name, value in zip(NAMES, values, strict=True)],
            ("path", "label", "split"),
        )
    )
    with pytest.raises(RefusedError, match=why):
        preprocess(job(place, "regression"), out=tmp_path / "out")


def test_a_label_without_a_training_image(tmp_path: Path) -> None:
    texts = ["cat|dog", "dog"] * 29 + ["owl|cat", "owl"]
    rows = [(text, "test" if "owl" in text else "train") for text in texts]
    with pytest.raises(RefusedError, match="no training image has the label 'owl'"):
        preprocess(job(data(tmp_path / "in", rows, "label", "split"), "multilabel"), out=tmp_path / "out")


def test_parts_in_any_number_give_the_same_artifact(tmp_path: Path) -> None:
    from graftline.config.jobs import DecodeJob
    from graftline.steps.decode import decode
    from graftline.steps.merge import merge

    place = data(tmp_path / "in", [(number / 3,) for number in range(60)], "label")
    asked = job(place, "regression").model_copy(update={"image_size": 12})
    whole = preprocess(asked, out=tmp_path / "one")
    parts = [tmp_path / f"part{shard}" for shard in range(3)]
    for shard, part in enumerate(parts):
        decode(DecodeJob(data=asked, shard=shard, shards=3), out=part)
    assert merge(asked, parts, out=tmp_path / "three") == whole


def test_the_digest_sees_labels_and_no_order() -> None:
    def digest(*labels: str, task: str = "regression") -> str:
        return content_digest([StoredSample("k", label, "train", "00") for label in labels], task)

    assert digest("[1.0]", "[2.0]") == digest("[2.0]", "[1.0]")
    assert len({digest("[1.0]"), digest("[1.5]"), digest("[1.0]", task="classification")}) == 3
