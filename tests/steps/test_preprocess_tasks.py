"""Datasets of regression and multilabel tasks from a table."""

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


def test_regression_labels_are_stored_as_float32(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(50, 10, (60, 2)).round(3)
    place = data(tmp_path / "in", values.tolist(), "x", "y")
    created = preprocess(job(place, "regression", columns={"labels": ["x", "y"]}), out=tmp_path / "out")
    opened = dataset.read(tmp_path / "out")
    assert (created.task, created.classes, created.counts) == ("regression", ["x", "y"], {})
    assert opened.train.labels.shape == (created.sizes["train"], 2)
    assert opened.train.labels.dtype == np.float32
    assert created.target_mean == pytest.approx(opened.train.labels.astype(float).mean(0).tolist())
    assert created.target_std == pytest.approx(opened.train.labels.astype(float).std(0).tolist())
    rows = np.concatenate([opened.train.labels, opened.val.labels, opened.test.labels])
    samples = dataset.read_samples(tmp_path / "out")
    for sample, row in zip(samples, rows, strict=True):
        assert np.array_equal(row, values[NAMES.index(sample.key)].astype(np.float32))
    lines = "".join(
        sorted(f'["{sample.sha256}",{json.dumps(numbers_of(sample.label)).replace(" ", "")}]\n' for sample in samples)
    )
    assert created.digest == digest_text(lines)


def test_multilabel_labels_are_stored_as_multi_hot_vectors(tmp_path: Path) -> None:
    texts = ["cat|dog", "dog", "[]", "cat", "dog", "owl|dog"] * 10
    created = preprocess(
        job(data(tmp_path / "in", [(text,) for text in texts], "label"), "multilabel"), out=tmp_path / "out"
    )
    opened = dataset.read(tmp_path / "out")
    assert (created.task, created.classes) == ("multilabel", ["cat", "dog", "owl"])
    assert {label: sum(counts.values()) for label, counts in created.counts.items()} == {
        "cat": 20,
        "dog": 40,
        "owl": 10,
    }
    for split in ("train", "val", "test"):
        part = getattr(opened, split).labels
        assert part.dtype == np.float32
        assert part.sum(0).tolist() == [created.counts[label][split] for label in created.classes]
        assert (part.sum(0) > 0).all()
    assert (opened.train.labels.sum(1) == 0).any()


def test_an_image_with_two_labels_is_reported_and_stays_in_one_split(tmp_path: Path) -> None:
    place = data(tmp_path / "in", [(number,) for number in range(60)], "label")
    (place / NAMES[1]).write_bytes((place / NAMES[0]).read_bytes())
    created = preprocess(job(place, "regression"), out=tmp_path / "out")
    assert any(
        "2 distinct images" in note or "2 images have only 1 distinct contents" in note for note in created.notes
    )
    assert any(
        "more than one label, such as '000.png' ([0.0]) and '001.png' ([1.0])" in warning
        for warning in created.warnings
    )
    assert len({sample.split for sample in dataset.read_samples(tmp_path / "out") if sample.key in NAMES[:2]}) == 1


def test_warns_of_an_outlier(tmp_path: Path) -> None:
    values = [(float(number % 7),) for number in range(60)]
    place = data(tmp_path / "in", values, "label")
    (place / "labels.csv").write_text(
        format_csv(
            [(name, -9999 if row == 10 else row % 7, "train" if row % 5 else "test") for row, name in enumerate(NAMES)],
            ("path", "label", "split"),
        )
    )
    created = preprocess(job(place, "regression"), out=tmp_path / "out")
    assert [
        warning for warning in created.warnings if "such as -9999 for '010.png'; if it encodes a missing" in warning
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([3.0] * 59 + [4.0], "'label' is the same in all|no test image"),
        ([1.0] * 60, "all 60 images have the same label"),
    ],
)
def test_refuses_constant_numbers(tmp_path: Path, values: list[float], reason: str) -> None:
    place = data(tmp_path / "in", [(value,) for value in values], "label")
    (place / "labels.csv").write_text(
        format_csv(
            [(name, value, "test" if value == 4 else "train") for name, value in zip(NAMES, values, strict=True)],
            ("path", "label", "split"),
        )
    )
    with pytest.raises(RefusedError, match=reason):
        preprocess(job(place, "regression"), out=tmp_path / "out")


def test_refuses_a_label_without_a_training_image(tmp_path: Path) -> None:
    texts = ["cat|dog", "dog"] * 29 + ["owl|cat", "owl"]
    rows = [(text, "test" if "owl" in text else "train") for text in texts]
    with pytest.raises(RefusedError, match="no training image has the label 'owl'"):
        preprocess(job(data(tmp_path / "in", rows, "label", "split"), "multilabel"), out=tmp_path / "out")


def test_any_number_of_shards_gives_the_same_artifact(tmp_path: Path) -> None:
    from graftline.config.jobs import DecodeJob
    from graftline.steps.decode import decode
    from graftline.steps.merge import merge

    place = data(tmp_path / "in", [(number / 3,) for number in range(60)], "label")
    requested = job(place, "regression").model_copy(update={"image_size": 12})
    whole = preprocess(requested, out=tmp_path / "one")
    parts = [tmp_path / f"part{shard}" for shard in range(3)]
    for shard, part in enumerate(parts):
        decode(DecodeJob(data=requested, shard=shard, shards=3), out=part)
    assert merge(requested, parts, out=tmp_path / "three") == whole


def test_digest_depends_on_labels_but_not_on_their_order() -> None:
    def digest(*labels: str, task: str = "regression") -> str:
        return content_digest([StoredSample("k", label, "train", "00") for label in labels], task)

    assert digest("[1.0]", "[2.0]") == digest("[2.0]", "[1.0]")
    assert len({digest("[1.0]"), digest("[1.5]"), digest("[1.0]", task="classification")}) == 3
