"""Warnings and notes of preprocess about the data."""

import io
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from graftline.data import dataset
from graftline.runtime.errors import RefusedError
from graftline.steps.preprocess import preprocess
from tests.builders import fake_bucket
from tests.builders.preprocess_jobs import ants_and_bees, preprocess_job
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder, write_zip


def photograph(seed: int, brightness: float = 1.0, quality: int = 95) -> bytes:
    """Returns a smooth image; with another brightness or quality, it is a near duplicate."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((120, 100), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(brightness).save(file, "JPEG", quality=quality)
    return file.getvalue()


def scenes(names: list[str], **change: float) -> dict[str, bytes]:
    return {name: photograph(number, **change) for number, name in enumerate(names)}  # type: ignore[arg-type]


def splits_of(folder: Path) -> dict[str, str]:
    return {sample.key: sample.split for sample in dataset.read_samples(folder)}


def test_drops_too_small_images_and_counts_enlarged_ones(tmp_path: Path) -> None:
    files = ants_and_bees(20) | {"ants/dot.png": make_png(500, (7, 30))}
    place = write_folder(tmp_path / "pets", files)
    created = preprocess(preprocess_job(place, image_size=16), out=tmp_path / "out")
    assert [(fault.file, fault.why) for fault in created.dropped] == [
        ("ants/dot.png", "too small: 7x30 pixels; min_side requires 8")
    ]
    assert "40 images are smaller than that and were enlarged" in created.notes
    assert created.original_sides == [10] * 5


def test_keeps_near_duplicates_in_one_split(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("ants", "bees") for number in range(15)]
    files = scenes(names) | {
        name.replace(".jpg", "_copy.jpg"): content
        for name, content in scenes(names, brightness=0.9, quality=60).items()
    }
    created = preprocess(preprocess_job(write_folder(tmp_path / "pets", files), image_size=80), out=tmp_path / "out")
    splits = splits_of(tmp_path / "out")
    assert all(splits[name] == splits[name.replace(".jpg", "_copy.jpg")] for name in names)
    assert "near duplicates: 60 distinct images in 30 clusters; each cluster stays in one split" in created.notes
    ungrouped = preprocess(
        preprocess_job(tmp_path / "pets", image_size=80, near_duplicates=False), out=tmp_path / "ungrouped"
    )
    assert ungrouped.digest == created.digest
    assert any(
        splits_of(tmp_path / "ungrouped")[name] != splits_of(tmp_path / "ungrouped")[name.replace(".jpg", "_copy.jpg")]
        for name in names
    )


def test_excludes_and_reports_training_images_that_duplicate_test_images(tmp_path: Path) -> None:
    names = [
        f"{split}/{label}/{number}.jpg"
        for split in ("train", "val", "test")
        for label in ("ants", "bees")
        for number in range(12)
    ]
    files = scenes(names) | {
        "train/ants/copy.jpg": photograph(names.index("test/ants/3.jpg"), 0.9, 60),
        "train/bees/same.jpg": photograph(names.index("test/bees/5.jpg")),
    }
    created = preprocess(preprocess_job(write_folder(tmp_path / "pets", files), image_size=80), out=tmp_path / "out")
    assert created.sizes == {"train": 24, "val": 24, "test": 24}
    assert {"train/ants/copy.jpg", "train/bees/same.jpg"}.isdisjoint(splits_of(tmp_path / "out"))
    assert any(
        "excluded from train: 2 images that also occur in test (1 exact duplicates, 1 near duplicates" in warning
        for warning in created.warnings
    )


def test_excludes_near_duplicates_of_test_images_from_a_source(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("ants", "bees") for number in range(20)]
    preprocess(preprocess_job(write_folder(tmp_path / "target", scenes(names)), image_size=80), out=tmp_path / "t")
    source = write_folder(tmp_path / "source", scenes(names, brightness=0.9, quality=60))
    created = preprocess(preprocess_job(source), out=tmp_path / "s", target=tmp_path / "t")
    test_names = {name for name, split in splits_of(tmp_path / "t").items() if split == "test"}
    assert created.leaked == len(test_names) == 6
    assert test_names.isdisjoint(splits_of(tmp_path / "s"))


def test_keeps_groups_of_the_group_pattern_in_one_split(tmp_path: Path) -> None:
    names = [
        f"{label}/p{patient}_{number}.png" for label in ("ill", "well") for patient in range(12) for number in range(3)
    ]
    place = write_folder(tmp_path / "scans", make_images(names))
    created = preprocess(preprocess_job(place, group_pattern=r"^(p\d+)_"), out=tmp_path / "out")
    assert not any("group_pattern" in warning for warning in created.warnings)
    of_group: dict[str, set[str]] = defaultdict(set)
    for name, split in splits_of(tmp_path / "out").items():
        of_group[name.split("/")[1].split("_")[0]].add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    assert set().union(*of_group.values()) == {"train", "val", "test"}


def test_warns_of_similar_class_names_and_small_classes(tmp_path: Path) -> None:
    files = make_images([f"{label}/{number}.png" for label in ("Cat", "cat ", "dog") for number in range(8)])
    created = preprocess(preprocess_job(write_folder(tmp_path / "pets", files)), out=tmp_path / "out")
    assert any("'Cat' and 'cat ' look like the same class" in warning for warning in created.warnings)
    assert any("fewer than 10 training images" in warning for warning in created.warnings)
    assert created.counts["dog"] == {"train": 6, "val": 1, "test": 1}
    page = (tmp_path / "out/page.html").read_text()
    assert "look like the same class" in page


def test_accepts_unlabeled_images_only_if_requested(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "bare", make_images([f"{number}.png" for number in range(20)]))
    with pytest.raises(RefusedError, match="For data without labels, set format: unlabeled"):
        preprocess(preprocess_job(place), out=tmp_path / "out")
    requested = preprocess_job(place, format="unlabeled")
    with pytest.raises(RefusedError, match="bare: the data have no labels, but this pipeline learns from labels"):
        preprocess(requested, out=tmp_path / "out")
    created = preprocess(requested.model_copy(update={"labeled": False}), out=tmp_path / "out")
    assert (created.task, created.classes, created.sizes) == ("unlabelled", [], {"train": 14, "val": 3, "test": 3})
    assert dataset.read(tmp_path / "out").test.labels.tolist() == [-1] * 3


def test_stores_images_at_the_size_of_a_previous_ledger(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", make_images(CLASS_FILES))
    preprocess(preprocess_job(place, image_size=12), out=tmp_path / "one")
    created = preprocess(preprocess_job(place, ledger=str(tmp_path / "one/ledger.json")), out=tmp_path / "two")
    assert created.image_shape == (3, 12, 12)
    assert splits_of(tmp_path / "two") == splits_of(tmp_path / "one")


def test_refuses_a_group_pattern_without_matches_and_warns_of_few_matches(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees(20))
    message = r"group_pattern '\^\(q\\\\d\+\)' matches no file name or path, such as 'ants/0.png'"
    with pytest.raises(RefusedError, match=message):
        preprocess(preprocess_job(place, group_pattern=r"^(q\d+)"), out=tmp_path / "out")
    created = preprocess(preprocess_job(place, group_pattern=r"^(1\d)"), out=tmp_path / "out")
    assert "group_pattern does not match 20 of 40 images, such as 'ants/0.png'" in created.warnings


def test_refuses_columns_for_a_format_without_columns(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees(20))
    with pytest.raises(RefusedError, match="`columns` are set, but the data were detected as image_folder"):
        preprocess(preprocess_job(place, columns={"label": "species"}), out=tmp_path / "out")


def test_ignores_other_files_and_warns_of_an_unread_table(tmp_path: Path) -> None:
    files = ants_and_bees(20) | {f"ants/{number}.txt": b"0 0.5 0.5 1 1" for number in range(20)}
    place = write_folder(tmp_path / "pets", files | {"labels.csv": b"name,species\nnowhere.png,ant\n"})
    created = preprocess(preprocess_job(place), out=tmp_path / "out")
    assert created.format == "image_folder"
    assert created.dropped == []
    assert any(note.startswith("ignored 21 files that are not images") for note in created.notes)
    assert any("the table 'labels.csv' was ignored" in warning for warning in created.warnings)


def test_too_small_images_do_not_decide_the_size(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees(20) | {"ants/dot.png": make_png(500, (4, 4))})
    assert preprocess(preprocess_job(place), out=tmp_path / "out").image_shape == (3, 10, 12)


def test_reads_an_archive_and_a_ledger_from_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    with fake_bucket.serving() as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        bucket.objects["pets.zip"] = write_zip(tmp_path / "pets.zip", ants_and_bees(20)).read_bytes()
        local = preprocess(preprocess_job(tmp_path / "pets.zip"), out=tmp_path / "here")
        bucket.objects["run/ledger.json"] = (tmp_path / "here/ledger.json").read_bytes()
        created = preprocess(preprocess_job("gs://bucket/pets.zip", ledger="gs://bucket/run"), out=tmp_path / "out")
    assert (created.digest, created.ledger, created.files["images.npy"]) == (
        local.digest,
        local.ledger,
        local.files["images.npy"],
    )
    assert list((tmp_path / "cache/downloads").iterdir()) == []
