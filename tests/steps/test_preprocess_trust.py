"""What preprocess says of the data, and what it does about it."""

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
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder, write_zip
from tests.steps.test_preprocess import job, many


def photograph(seed: int, brightness: float = 1.0, quality: int = 95) -> bytes:
    """A smooth scene of its own; another brightness or quality is nearly the same picture."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((120, 100), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    ImageEnhance.Brightness(image).enhance(brightness).save(file, "JPEG", quality=quality)
    return file.getvalue()


def scenes(names: list[str], **change: float) -> dict[str, bytes]:
    return {name: photograph(number, **change) for number, name in enumerate(names)}  # type: ignore[arg-type]


def splits_of(folder: Path) -> dict[str, str]:
    return {sample.key: sample.split for sample in dataset.read_samples(folder)}


def test_images_that_are_too_small_are_dropped_and_enlarged_ones_counted(tmp_path: Path) -> None:
    files = many(20) | {"ants/dot.png": make_png(500, (7, 30))}
    place = write_folder(tmp_path / "pets", files)
    told = preprocess(job(place, image_size=16), out=tmp_path / "out")
    assert [(fault.file, fault.why) for fault in told.dropped] == [
        ("ants/dot.png", "too small: 7x30 pixels; min_side asks for 8")
    ]
    assert "40 images are smaller than that and were enlarged" in told.notes
    assert told.original_sides == [10] * 5


def test_near_duplicates_stand_in_one_split(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("ants", "bees") for number in range(15)]
    files = scenes(names) | {
        name.replace(".jpg", "_copy.jpg"): content
        for name, content in scenes(names, brightness=0.9, quality=60).items()
    }
    told = preprocess(job(write_folder(tmp_path / "pets", files), image_size=80), out=tmp_path / "out")
    found = splits_of(tmp_path / "out")
    assert all(found[name] == found[name.replace(".jpg", "_copy.jpg")] for name in names)
    assert "near duplicates: 60 pictures in 30 sets; each stays in one split" in told.notes
    apart = preprocess(job(tmp_path / "pets", image_size=80, near_duplicates=False), out=tmp_path / "apart")
    assert apart.digest == told.digest
    assert any(
        splits_of(tmp_path / "apart")[name] != splits_of(tmp_path / "apart")[name.replace(".jpg", "_copy.jpg")]
        for name in names
    )


def test_a_trained_copy_of_a_tested_image_is_left_out_and_reported(tmp_path: Path) -> None:
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
    told = preprocess(job(write_folder(tmp_path / "pets", files), image_size=80), out=tmp_path / "out")
    assert told.sizes == {"train": 24, "val": 24, "test": 24}
    assert {"train/ants/copy.jpg", "train/bees/same.jpg"}.isdisjoint(splits_of(tmp_path / "out"))
    assert any(
        "left out of train: 2 images that test has too (1 the same, 1 nearly the same" in warning
        for warning in told.warnings
    )


def test_a_near_copy_of_a_tested_image_leaves_the_source(tmp_path: Path) -> None:
    names = [f"{label}/{number}.jpg" for label in ("ants", "bees") for number in range(20)]
    preprocess(job(write_folder(tmp_path / "target", scenes(names)), image_size=80), out=tmp_path / "t")
    source = write_folder(tmp_path / "source", scenes(names, brightness=0.9, quality=60))
    told = preprocess(job(source), out=tmp_path / "s", target=tmp_path / "t")
    tested = {name for name, split in splits_of(tmp_path / "t").items() if split == "test"}
    assert told.leaked == len(tested) == 6
    assert tested.isdisjoint(splits_of(tmp_path / "s"))


def test_groups_by_their_names_stay_together(tmp_path: Path) -> None:
    names = [
        f"{label}/p{patient}_{number}.png" for label in ("ill", "well") for patient in range(12) for number in range(3)
    ]
    place = write_folder(tmp_path / "scans", make_images(names))
    told = preprocess(job(place, group_pattern=r"^(p\d+)_"), out=tmp_path / "out")
    assert not any("group_pattern" in warning for warning in told.warnings)
    of_group: dict[str, set[str]] = defaultdict(set)
    for name, split in splits_of(tmp_path / "out").items():
        of_group[name.split("/")[1].split("_")[0]].add(split)
    assert all(len(splits) == 1 for splits in of_group.values())
    assert set().union(*of_group.values()) == {"train", "val", "test"}


def test_class_names_that_look_alike_and_small_classes_are_warned_of(tmp_path: Path) -> None:
    files = make_images([f"{label}/{number}.png" for label in ("Cat", "cat ", "dog") for number in range(8)])
    told = preprocess(job(write_folder(tmp_path / "pets", files)), out=tmp_path / "out")
    assert any("'Cat' and 'cat ' look like one class" in warning for warning in told.warnings)
    assert any("fewer than 10 training images" in warning for warning in told.warnings)
    assert told.counts["dog"] == {"train": 6, "val": 1, "test": 1}
    page = (tmp_path / "out/page.html").read_text()
    assert "look like one class" in page


def test_unlabelled_images_become_a_dataset_only_where_that_is_meant(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "bare", make_images([f"{number}.png" for number in range(20)]))
    with pytest.raises(RefusedError, match="For data without labels, set format: unlabeled"):
        preprocess(job(place), out=tmp_path / "out")
    asked = job(place, format="unlabeled")
    with pytest.raises(RefusedError, match="bare: the data have no labels, but this pipeline learns from labels"):
        preprocess(asked, out=tmp_path / "out")
    told = preprocess(asked.model_copy(update={"labelled": False}), out=tmp_path / "out")
    assert (told.task, told.classes, told.sizes) == ("unlabelled", [], {"train": 14, "val": 3, "test": 3})
    assert dataset.read(tmp_path / "out").test.labels.tolist() == [-1] * 3


def test_a_ledger_at_another_size_is_gone_on_with_at_its_own(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", make_images(CLASS_FILES))
    preprocess(job(place, image_size=12), out=tmp_path / "one")
    told = preprocess(job(place, ledger=str(tmp_path / "one/ledger.json")), out=tmp_path / "two")
    assert told.image_shape == (3, 12, 12)
    assert splits_of(tmp_path / "two") == splits_of(tmp_path / "one")


def test_a_group_pattern_that_matches_nothing_is_refused_and_little_is_warned_of(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", many(20))
    says = r"group_pattern '\^\(q\\\\d\+\)' matches no file's name nor path, such as 'ants/0.png'"
    with pytest.raises(RefusedError, match=says):
        preprocess(job(place, group_pattern=r"^(q\d+)"), out=tmp_path / "out")
    told = preprocess(job(place, group_pattern=r"^(1\d)"), out=tmp_path / "out")
    assert "group_pattern matches all but 20 of 40 images, such as 'ants/0.png'" in told.warnings


def test_columns_of_what_is_no_table_are_refused(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", many(20))
    with pytest.raises(RefusedError, match="`columns` are set, but these data were found to be image_folder"):
        preprocess(job(place, columns={"label": "species"}), out=tmp_path / "out")


def test_what_lies_beside_images_is_passed_over_and_an_unread_table_warned_of(tmp_path: Path) -> None:
    files = many(20) | {f"ants/{number}.txt": b"0 0.5 0.5 1 1" for number in range(20)}
    place = write_folder(tmp_path / "pets", files | {"labels.csv": b"name,species\nnowhere.png,ant\n"})
    told = preprocess(job(place), out=tmp_path / "out")
    assert told.format == "image_folder"
    assert told.dropped == []
    assert any(note.startswith("ignored 21 files that are not images") for note in told.notes)
    assert any("the table 'labels.csv' was ignored" in warning for warning in told.warnings)


def test_an_image_too_small_does_not_choose_the_size(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", many(20) | {"ants/dot.png": make_png(500, (4, 4))})
    assert preprocess(job(place), out=tmp_path / "out").image_shape == (3, 10, 12)


def test_an_archive_and_a_ledger_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    with fake_bucket.serving() as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        bucket.objects["pets.zip"] = write_zip(tmp_path / "pets.zip", many(20)).read_bytes()
        here = preprocess(job(tmp_path / "pets.zip"), out=tmp_path / "here")
        bucket.objects["run/ledger.json"] = (tmp_path / "here/ledger.json").read_bytes()
        told = preprocess(job("gs://bucket/pets.zip", ledger="gs://bucket/run"), out=tmp_path / "out")
    assert (told.digest, told.ledger, told.files["images.npy"]) == (here.digest, here.ledger, here.files["images.npy"])
    assert list((tmp_path / "cache/downloads").iterdir()) == []
