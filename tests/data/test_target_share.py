"""A share of the target's training split as a source: stratified, reproducible, without validation and test images."""

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
from graftline.data.target_share import draw_share
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


def samples_of(folder: Path, *splits: str) -> list[StoredSample]:
    return [sample for sample in dataset.read_samples(folder) if sample.split in splits]


def digests(samples: list[StoredSample]) -> set[str]:
    return {sample.sha256 for sample in samples}


def preprocess_source(tmp_path: Path, requested: Jobs, name: str = "source") -> DatasetManifest:
    if not (tmp_path / "target").exists():
        preprocess(requested.target, out=tmp_path / "target")
    return preprocess(requested.sources[0].preprocess, out=tmp_path / name, target=tmp_path / "target")


def test_draws_a_stratified_share_of_train_only(tmp_path: Path) -> None:
    dataset_manifest = preprocess_source(tmp_path, jobs(pets(tmp_path / "pets")))
    assert manifest.read(tmp_path / "source", DatasetManifest, verify=True) == dataset_manifest
    train = samples_of(tmp_path / "target", "train")
    source_samples = dataset.read_samples(tmp_path / "source")
    assert digests(source_samples) <= digests(train)
    assert not digests(source_samples) & digests(samples_of(tmp_path / "target", "val", "test"))
    available, drawn = (Counter(sample.label for sample in samples) for samples in (train, source_samples))
    assert drawn == {label: round(0.3 * count) for label, count in available.items()}
    assert (
        dataset_manifest.label,
        dataset_manifest.classes,
        dataset_manifest.leaked,
        dataset_manifest.sizes["test"],
    ) == ("share-of-target", ["ants", "bees"], 0, 0)
    assert dataset_manifest.sizes["val"] > 0
    assert dataset_manifest.notes[0] == (
        f"{len(source_samples)} of the target's {len(train)} training images (target_share 0.3) and none "
        "of its validation and test images; fine-tuning uses all training images, including these"
    )


def test_keeps_images_labels_and_statistics_of_the_target(tmp_path: Path) -> None:
    dataset_manifest = preprocess_source(tmp_path, jobs(pets(tmp_path / "pets")))
    source, target = dataset.read(tmp_path / "source"), dataset.read(tmp_path / "target")
    target_rows = {sample.sha256: row for row, sample in enumerate(samples_of(tmp_path / "target", "train"))}
    for row, sample in enumerate(samples_of(tmp_path / "source", "train")):
        assert np.array_equal(source.train.images[row], target.train.images[target_rows[sample.sha256]])
        assert source.train.labels[row] == target.train.labels[target_rows[sample.sha256]]
    pixels = np.asarray(source.train.images) / 255
    assert dataset_manifest.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)).tolist())
    assert dataset_manifest.std == pytest.approx(pixels.std(axis=(0, 2, 3)).tolist())


def test_copies_jpeg_images_unchanged(tmp_path: Path) -> None:
    requested = jobs_of(
        Config.model_validate(
            {"target": {"data": str(pets(tmp_path / "pets"))}, "packed_above": 0, "source": {"target_share": 0.5}}
        ),
        {},
    )
    dataset_manifest = preprocess_source(tmp_path, requested)
    assert dataset_manifest.layout == "jpeg"
    source, target = dataset.read(tmp_path / "source"), dataset.read(tmp_path / "target")
    target_rows = {sample.sha256: row for row, sample in enumerate(samples_of(tmp_path / "target", "train"))}
    for row, sample in enumerate(samples_of(tmp_path / "source", "train")):
        assert np.array_equal(source.train.images[row], target.train.images[target_rows[sample.sha256]])


def test_draw_is_reproducible_and_a_larger_share_contains_a_smaller_one(tmp_path: Path) -> None:
    place = pets(tmp_path / "pets")
    first = preprocess_source(tmp_path, jobs(place), "first")
    assert preprocess_source(tmp_path, jobs(place), "again").digest == first.digest
    preprocess_source(tmp_path, jobs(place, 0.6), "larger")
    assert digests(dataset.read_samples(tmp_path / "first")) < digests(dataset.read_samples(tmp_path / "larger"))
    other = preprocess(
        jobs(place).sources[0].preprocess.model_copy(update={"seed": 1}),
        out=tmp_path / "seed",
        target=tmp_path / "target",
    )
    assert other.digest != first.digest


def test_draw_does_not_depend_on_the_order_of_samples() -> None:
    samples = [StoredSample(f"{i}", "ab"[i % 2], "train", f"{i:064x}") for i in range(50)]
    backwards = samples[::-1]
    assert {samples[row].key for row in draw_share(samples, 0.3, 7, by_class=True)} == {
        backwards[row].key for row in draw_share(backwards, 0.3, 7, by_class=True)
    }
    assert len(draw_share(samples[:3], 0.01, 7, by_class=True)) == 2  # one of each class at least
    assert len(draw_share(samples, 0.3, 7, by_class=False)) == 15
    assert len(draw_share(samples, 1.0, 7, by_class=True)) == 50


def test_merge_sources_makes_the_same_dataset(tmp_path: Path) -> None:
    requested = jobs(pets(tmp_path / "pets"))
    dataset_manifest = preprocess_source(tmp_path, requested)
    [job] = merge_sources(requested.sources, [], target=tmp_path / "target", out=tmp_path / "sources")
    assert manifest.read(tmp_path / "sources" / "share-of-target", DatasetManifest) == dataset_manifest
    assert job.inputs == manifest.identity(tmp_path / "source")


def test_excludes_near_duplicates_of_test_images(tmp_path: Path) -> None:
    place = pets(tmp_path / "pets")
    preprocess_source(tmp_path, jobs(place))
    # A target made elsewhere may have a training image that is a near duplicate of a test image.
    lines = (tmp_path / "target" / dataset.SAMPLES).read_text().splitlines()
    samples = dataset.read_samples(tmp_path / "target")
    test_sample = next(sample for sample in samples if sample.split == "test")
    changed = next(
        row for row, sample in enumerate(samples) if sample.sha256 in digests(dataset.read_samples(tmp_path / "source"))
    )
    lines[changed] = lines[changed].replace(samples[changed].phash, test_sample.phash)
    lines = [
        line.replace(f'"{sample.phash}"', f'"{test_sample.phash}"') if sample is test_sample else line
        for line, sample in zip(lines, samples, strict=True)
    ]
    (tmp_path / "target" / dataset.SAMPLES).write_text("\n".join(lines) + "\n")
    dataset_manifest = preprocess_source(tmp_path, jobs(place), "later")
    assert dataset_manifest.leaked == 1
    assert samples[changed].sha256 not in digests(dataset.read_samples(tmp_path / "later"))


def test_refuses_an_image_in_train_and_test(tmp_path: Path) -> None:
    preprocess_source(tmp_path, jobs(pets(tmp_path / "pets")))
    samples = dataset.read_samples(tmp_path / "target")
    lines = (tmp_path / "target" / dataset.SAMPLES).read_text()
    test_sample = next(sample for sample in samples if sample.split == "test")
    (tmp_path / "target" / dataset.SAMPLES).write_text(lines.replace(samples[0].sha256, test_sample.sha256))
    with pytest.raises(
        RefusedError, match=r"'.*png' of the training split has the same digest as a validation or test image"
    ):
        preprocess_source(tmp_path, jobs(pets(tmp_path / "pets")), "later")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"data": "somewhere"}, "data: somewhere and target_share are both set; set one of them"),
        (
            {"classes": ["ants"]},
            "target_share: the images are read with the target's settings, so 'classes' has no effect",
        ),
        ({"task": "regression"}, "so 'task' has no effect here"),
        ({"target_share": 1.5}, "less than or equal to 1"),
        ({"target_share": 0}, "greater than 0"),
    ],
)
def test_refuses_settings_without_effect(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Source.model_validate({"target_share": 0.3, **more})


def test_config_survives_a_json_round_trip() -> None:
    source = Source(target_share=0.3, val_fraction=0.2, name="part")
    assert Source.model_validate_json(source.model_dump_json()) == source
    assert Source(target_share=0.3).label == "share-of-target"


def test_grayscale_images_stay_grayscale(tmp_path: Path) -> None:
    for number in range(24):
        path = tmp_path / "gray" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (9, 9), np.uint8)).save(path)
    dataset_manifest = preprocess_source(tmp_path, jobs(tmp_path / "gray", 0.5))
    assert (dataset_manifest.image_shape, dataset_manifest.target_channels) == ((1, 9, 9), 1)
