"""A share of the target's training split as a source: stratified, stable, nothing of validation and test."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graftline.config import Config, Source
from graftline.config.jobs import Jobs, jobs_of
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.target_share import drawn
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.merge_sources import merge_sources
from graftline.steps.preprocess import preprocess
from tests.builders.raw_data import make_images, write_folder


def jobs(place: Path, share: float = 0.3, **more: Any) -> Jobs:
    source = {"target_share": share, **more}
    return jobs_of(Config.model_validate({"target": {"data": str(place)}, "source": source}), {})


def pets(folder: Path, ants: int = 40, bees: int = 20) -> Path:
    return write_folder(
        folder,
        make_images(
            [f"{label}/{number}.png" for label, count in (("ants", ants), ("bees", bees)) for number in range(count)]
        ),
    )


def of(folder: Path, *splits: str) -> list[StoredSample]:
    return [sample for sample in dataset.read_samples(folder) if sample.split in splits]


def digests(samples: list[StoredSample]) -> set[str]:
    return {sample.sha256 for sample in samples}


def made(tmp_path: Path, asked: Jobs, name: str = "source") -> DatasetManifest:
    if not (tmp_path / "target").exists():
        preprocess(asked.target, out=tmp_path / "target")
    return preprocess(asked.sources[0].preprocess, out=tmp_path / name, target=tmp_path / "target")


def test_a_stratified_share_of_train_and_nothing_else(tmp_path: Path) -> None:
    told = made(tmp_path, jobs(pets(tmp_path / "pets")))
    assert manifest.read(tmp_path / "source", DatasetManifest, verify=True) == told
    train = of(tmp_path / "target", "train")
    ours = dataset.read_samples(tmp_path / "source")
    assert digests(ours) <= digests(train)
    assert not digests(ours) & digests(of(tmp_path / "target", "val", "test"))
    have, taken = (Counter(sample.label for sample in samples) for samples in (train, ours))
    assert taken == {label: round(0.3 * count) for label, count in have.items()}
    assert (told.label, told.classes, told.leaked, told.sizes["test"]) == ("share-of-target", ["ants", "bees"], 0, 0)
    assert told.sizes["val"] > 0
    assert told.notes[0] == (
        f"{len(ours)} of the target's {len(train)} training images (target_share 0.3), none of "
        "its validation and test images; fine-tuning uses all training images, these among them"
    )


def test_images_labels_and_statistics_are_the_targets(tmp_path: Path) -> None:
    told = made(tmp_path, jobs(pets(tmp_path / "pets")))
    source, target = dataset.read(tmp_path / "source"), dataset.read(tmp_path / "target")
    where = {sample.sha256: row for row, sample in enumerate(of(tmp_path / "target", "train"))}
    for row, sample in enumerate(of(tmp_path / "source", "train")):
        assert np.array_equal(source.train.images[row], target.train.images[where[sample.sha256]])
        assert source.train.labels[row] == target.train.labels[where[sample.sha256]]
    pixels = np.asarray(source.train.images) / 255
    assert told.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)).tolist())
    assert told.std == pytest.approx(pixels.std(axis=(0, 2, 3)).tolist())


def test_jpeg_is_taken_over_as_it_is(tmp_path: Path) -> None:
    asked = jobs_of(
        Config.model_validate(
            {"target": {"data": str(pets(tmp_path / "pets"))}, "packed_above": 0, "source": {"target_share": 0.5}}
        ),
        {},
    )
    told = made(tmp_path, asked)
    assert told.layout == "jpeg"
    source, target = dataset.read(tmp_path / "source"), dataset.read(tmp_path / "target")
    where = {sample.sha256: row for row, sample in enumerate(of(tmp_path / "target", "train"))}
    for row, sample in enumerate(of(tmp_path / "source", "train")):
        assert np.array_equal(source.train.images[row], target.train.images[where[sample.sha256]])


def test_the_draw_is_stable(tmp_path: Path) -> None:
    place = pets(tmp_path / "pets")
    first = made(tmp_path, jobs(place), "first")
    assert made(tmp_path, jobs(place), "again").digest == first.digest
    made(tmp_path, jobs(place, 0.6), "larger")
    assert digests(dataset.read_samples(tmp_path / "first")) < digests(dataset.read_samples(tmp_path / "larger"))
    other = preprocess(
        jobs(place).sources[0].preprocess.model_copy(update={"seed": 1}),
        out=tmp_path / "seed",
        target=tmp_path / "target",
    )
    assert other.digest != first.digest


def test_the_order_of_the_samples_does_not_matter() -> None:
    samples = [StoredSample(f"{i}", "ab"[i % 2], "train", f"{i:064x}") for i in range(50)]
    backwards = samples[::-1]
    assert {samples[row].key for row in drawn(samples, 0.3, 7, by_class=True)} == {
        backwards[row].key for row in drawn(backwards, 0.3, 7, by_class=True)
    }
    assert len(drawn(samples[:3], 0.01, 7, by_class=True)) == 2  # one of each class at least
    assert len(drawn(samples, 0.3, 7, by_class=False)) == 15
    assert len(drawn(samples, 1.0, 7, by_class=True)) == 50


def test_the_fanned_out_dag_makes_the_same(tmp_path: Path) -> None:
    asked = jobs(pets(tmp_path / "pets"))
    told = made(tmp_path, asked)
    [job] = merge_sources(asked.sources, [], target=tmp_path / "target", out=tmp_path / "sources")
    assert manifest.read(tmp_path / "sources" / "share-of-target", DatasetManifest) == told
    assert job.inputs == manifest.identity(tmp_path / "source")


def test_a_near_copy_of_a_test_image_still_leaves(tmp_path: Path) -> None:
    place = pets(tmp_path / "pets")
    made(tmp_path, jobs(place))
    # As a target of another make would have it: a training image that is nearly one of its test images.
    lines = (tmp_path / "target" / dataset.SAMPLES).read_text().splitlines()
    samples = dataset.read_samples(tmp_path / "target")
    tested = next(sample for sample in samples if sample.split == "test")
    mine = next(
        row for row, sample in enumerate(samples) if sample.sha256 in digests(dataset.read_samples(tmp_path / "source"))
    )
    lines[mine] = lines[mine].replace(samples[mine].phash, tested.phash)
    lines = [
        line.replace(f'"{sample.phash}"', f'"{tested.phash}"') if sample is tested else line
        for line, sample in zip(lines, samples, strict=True)
    ]
    (tmp_path / "target" / dataset.SAMPLES).write_text("\n".join(lines) + "\n")
    told = made(tmp_path, jobs(place), "later")
    assert told.leaked == 1
    assert samples[mine].sha256 not in digests(dataset.read_samples(tmp_path / "later"))


def test_a_picture_in_train_and_test_is_refused(tmp_path: Path) -> None:
    made(tmp_path, jobs(pets(tmp_path / "pets")))
    samples = dataset.read_samples(tmp_path / "target")
    lines = (tmp_path / "target" / dataset.SAMPLES).read_text()
    tested = next(sample for sample in samples if sample.split == "test")
    (tmp_path / "target" / dataset.SAMPLES).write_text(lines.replace(samples[0].sha256, tested.sha256))
    with pytest.raises(RefusedError, match=r"'.*png' stands in training and, by its digest, in validation or test"):
        made(tmp_path, jobs(pets(tmp_path / "pets")), "later")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"data": "somewhere"}, "data: somewhere and target_share are both set; give one of them"),
        (
            {"classes": ["ants"]},
            "target_share: its images are the target's, as the target was read, so 'classes' means",
        ),
        ({"task": "regression"}, "so 'task' means nothing here"),
        ({"target_share": 1.5}, "less than or equal to 1"),
        ({"target_share": 0}, "greater than 0"),
    ],
)
def test_what_cannot_stand_beside_it_is_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Source.model_validate({"target_share": 0.3, **more})


def test_the_config_survives_json() -> None:
    source = Source(target_share=0.3, val_fraction=0.2, name="part")
    assert Source.model_validate_json(source.model_dump_json()) == source
    assert Source(target_share=0.3).label == "share-of-target"


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "grey" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 9), np.uint8)).save(path)
    told = made(tmp_path, jobs(tmp_path / "grey", 0.5))
    assert (told.image_shape, told.target_channels) == ((1, 9, 9), 1)
