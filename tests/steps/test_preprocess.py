import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.data.splits import ledger
from graftline.runtime import manifest
from graftline.runtime.errors import RefusedError
from graftline.steps.preprocess import preprocess
from tests.builders.preprocess_jobs import ants_and_bees, preprocess_job
from tests.builders.raw_data import SPLIT_FILES, make_images, make_mnist, make_png, write_folder, write_tar, write_zip


def test_writes_a_complete_artifact(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees())
    created = preprocess(preprocess_job(place), out=tmp_path / "out")
    opened = dataset.read(tmp_path / "out")
    assert manifest.read(tmp_path / "out", DatasetManifest, verify=True) == created == opened.manifest
    assert created.format == "image_folder"
    assert created.classes == ["ants", "bees"]
    assert created.sizes == {"train": 28, "val": 6, "test": 6}
    assert created.image_shape == (3, 10, 12)
    assert created.fingerprint == "sha256:f"
    assert ledger.read_ledger(tmp_path / "out").digest == created.ledger
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "images.npy",
        "labels.npy",
        "ledger.json",
        "manifest.json",
        "page.html",
        "samples.jsonl",
    ]
    assert list(tmp_path.glob(".*")) == []
    for sample, image, label in zip(
        dataset.read_samples(tmp_path / "out"), opened.train.images, opened.train.labels, strict=False
    ):
        pixels = np.asarray(Image.open(place / sample.key)).transpose(2, 0, 1)
        assert np.array_equal(image, pixels)
        assert created.classes[label] == sample.label == sample.key.split("/")[0]


def test_mean_and_std_equal_those_of_the_training_split(tmp_path: Path) -> None:
    created = preprocess(preprocess_job(write_folder(tmp_path / "pets", ants_and_bees())), out=tmp_path / "out")
    images = dataset.read(tmp_path / "out").train.images / 255
    assert created.mean == pytest.approx(images.mean(axis=(0, 2, 3)).tolist())
    assert created.std == pytest.approx(images.std(axis=(0, 2, 3)).tolist())


def test_equal_data_give_an_equal_artifact_regardless_of_file_names(tmp_path: Path) -> None:
    files = ants_and_bees()
    renamed = {
        f"{name.split('/')[0]}/z{99 - int(name.split('/')[1].split('.')[0])}.dat": content
        for name, content in reversed(files.items())
    }
    one = preprocess(preprocess_job(write_folder(tmp_path / "pets", files)), out=tmp_path / "one")
    for number, place in enumerate(
        (
            write_zip(tmp_path / "a.zip", renamed),
            write_tar(tmp_path / "b.tar.gz", renamed),
            write_folder(tmp_path / "c", renamed),
        )
    ):
        other = preprocess(preprocess_job(place), out=tmp_path / f"other{number}")
        assert (other.digest, other.ledger, other.identity) == (one.digest, one.ledger, one.identity)
        assert other.files["images.npy"] == one.files["images.npy"]
    other = preprocess(preprocess_job(tmp_path / "c", seed=1), out=tmp_path / "seed")
    assert other.digest == one.digest
    assert other.ledger != one.ledger


def test_one_changed_pixel_or_label_changes_the_digest(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees())
    one = preprocess(preprocess_job(place), out=tmp_path / "one")
    image = np.asarray(Image.open(place / "ants/0.png")).copy()
    image[0, 0, 0] ^= 1
    Image.fromarray(image).save(place / "ants/0.png")
    two = preprocess(preprocess_job(place), out=tmp_path / "two")
    (place / "ants/0.png").rename(place / "bees/x.png")
    three = preprocess(preprocess_job(place), out=tmp_path / "three")
    assert len({one.digest, two.digest, three.digest}) == 3


@pytest.mark.parametrize(
    ("sizes", "requested", "stored"),
    [
        ([(12, 10)], None, (3, 10, 12)),
        ([(64, 64)], None, (3, 64, 64)),
        ([(65, 65)], None, (3, 224, 224)),
        ([(12, 10), (12, 11)], None, (3, 224, 224)),
        ([(12, 10)], 32, (3, 32, 32)),
        ([(400, 300), (90, 120)], 48, (3, 48, 48)),
    ],
)
def test_image_sizes(
    tmp_path: Path, sizes: list[tuple[int, int]], requested: int | None, stored: tuple[int, int, int]
) -> None:
    files = {f"{'ab'[number // 6]}/{number}.png": make_png(number, sizes[number % len(sizes)]) for number in range(12)}
    assert (
        preprocess(preprocess_job(write_folder(tmp_path / "p", files), requested), out=tmp_path / "out").image_shape
        == stored
    )


@pytest.mark.parametrize(
    ("modes", "channels"), [(["L"], 1), (["1", "L", "LA", "I;16"], 1), (["L", "RGB"], 3), (["P"], 3)]
)
def test_stores_one_channel_if_all_images_are_grayscale(tmp_path: Path, modes: list[str], channels: int) -> None:
    for number in range(12):
        path = tmp_path / "p" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        grey = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        mode = modes[number // 2 % len(modes)]
        image = Image.fromarray(grey.astype(np.uint16) * 256) if mode == "I;16" else Image.fromarray(grey).convert(mode)
        image.save(path)
    assert preprocess(preprocess_job(tmp_path / "p"), out=tmp_path / "out").image_shape == (channels, 8, 8)


def with_unreadable_files(tmp_path: Path, good: int) -> Path:
    files = ants_and_bees(good)
    photo = make_png(99, (200, 200), "JPEG")
    files |= {
        "ants/half.jpg": photo[: len(photo) // 2],
        "ants/page.jpg": b"<!DOCTYPE html><p>Not opened",
        "bees/nothing.png": b"",
    }
    return write_folder(tmp_path / "pets", files)


def test_drops_and_lists_unreadable_files(tmp_path: Path) -> None:
    created = preprocess(preprocess_job(with_unreadable_files(tmp_path, 40), image_size=16), out=tmp_path / "out")
    assert sum(created.sizes.values()) == 80
    assert {fault.file: fault.why.split(" (")[0] for fault in created.dropped} == {
        "ants/half.jpg": "damaged: image file is truncated",
        "ants/page.jpg": "not an image of a supported format",
        "bees/nothing.png": "empty file",
    }


def test_refuses_too_many_unreadable_files(tmp_path: Path) -> None:
    place = with_unreadable_files(tmp_path, 20)
    with pytest.raises(
        RefusedError,
        match=r"3 of 43 files cannot be used, more than max_dropped 0.05 "
        r"allows: ants/half.jpg \(damaged: .*; ants/page.jpg \(not an image",
    ):
        preprocess(preprocess_job(place), out=tmp_path / "out")
    assert preprocess(preprocess_job(place, max_dropped=0.1), out=tmp_path / "out").dropped


def test_escapes_file_names_and_refuses_class_names_that_are_not_utf8(tmp_path: Path) -> None:
    files = ants_and_bees(40) | {os.fsdecode(b"ants/caf\xe9.png"): b"x"}
    created = preprocess(preprocess_job(write_folder(tmp_path / "p", files)), out=tmp_path / "out")
    assert created.dropped[0].file == r"ants/caf\udce9.png"
    files |= {os.fsdecode(b"caf\xe9/%d.png" % number): make_png(number) for number in (1, 2)}
    place = write_folder(tmp_path / "q", files)
    with pytest.raises(RefusedError, match=r"the class names \['caf\\udce9'\] are not valid UTF-8; rename them"):
        preprocess(preprocess_job(place), out=tmp_path / "out")


def test_refuses_a_class_without_a_readable_image(tmp_path: Path) -> None:
    files = {**ants_and_bees(), "wasps/1.png": b"x", "wasps/2.png": b"x"}
    with pytest.raises(RefusedError, match="no image of class 'wasps' is left"):
        preprocess(preprocess_job(write_folder(tmp_path / "p", files)), out=tmp_path / "out")


def test_a_refusal_leaves_no_artifact(tmp_path: Path) -> None:
    preprocess(preprocess_job(write_folder(tmp_path / "p", ants_and_bees())), out=tmp_path / "out")
    with pytest.raises(RefusedError, match="there is no such file or folder"):
        preprocess(preprocess_job(tmp_path / "missing"), out=tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_refuses_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_folder(tmp_path / "p", ants_and_bees())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(
        RefusedError, match="preprocessing needs 28,800 bytes of disk space, but 1,000 are free; free some"
    ):
        preprocess(preprocess_job(place), out=tmp_path / "out")


def test_keeps_the_predefined_splits_of_idx_files(tmp_path: Path) -> None:
    created = preprocess(
        preprocess_job(write_folder(tmp_path / "m", make_mnist(30)), val_fraction=0.2, min_side=6), out=tmp_path / "out"
    )
    assert created.sizes == {"train": 20, "val": 10, "test": 30}
    assert created.image_shape == (1, 7, 6)
    assert "predefined splits: train, test" in created.notes


def test_a_source_has_the_size_of_the_target_and_no_test_split(tmp_path: Path) -> None:
    preprocess(preprocess_job(write_folder(tmp_path / "target", ants_and_bees())), out=tmp_path / "t")
    created = preprocess(preprocess_job("builtin:digits/clean"), out=tmp_path / "s", target=tmp_path / "t")
    assert created.image_shape == (1, 10, 12)
    assert created.sizes["test"] == 0
    assert created.sizes["train"] + created.sizes["val"] == 899


@pytest.mark.parametrize(("target_mode", "source_mode"), [("RGB", "RGB"), ("L", "L"), ("RGB", "L"), ("L", "RGB")])
def test_excludes_source_images_in_the_target_test_split(tmp_path: Path, target_mode: str, source_mode: str) -> None:
    for number in range(60):
        grey = Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8))
        for name, mode, part in (("target", target_mode, number < 40), ("source", source_mode, number >= 20)):
            path = tmp_path / name / "ab"[number % 2] / f"{name}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if part:
                grey.convert(mode).save(path)
    preprocess(preprocess_job(tmp_path / "target"), out=tmp_path / "t")
    created = preprocess(preprocess_job(tmp_path / "source"), out=tmp_path / "s", target=tmp_path / "t")
    test_numbers = {
        int(sample.key.split("target")[1].split(".")[0])
        for sample in dataset.read_samples(tmp_path / "t")
        if sample.split == "test"
    }
    shared = {number for number in test_numbers if number >= 20}
    assert shared
    assert created.leaked == len(shared)
    kept = {int(sample.key.split("source")[1].split(".")[0]) for sample in dataset.read_samples(tmp_path / "s")}
    assert kept == set(range(20, 60)) - test_numbers


def test_a_source_without_data_gets_an_empty_dataset(tmp_path: Path) -> None:
    preprocess(preprocess_job(write_folder(tmp_path / "target", ants_and_bees())), out=tmp_path / "t")
    created = preprocess(preprocess_job(None), out=tmp_path / "s", target=tmp_path / "t")
    opened = dataset.read(tmp_path / "s")
    assert created.is_empty
    assert created.classes == []
    assert opened.train.images.shape == (0, 3, 10, 12)
    with pytest.raises(RefusedError, match="pets: no data and no target are given"):
        preprocess(preprocess_job(None), out=tmp_path / "x")


def test_extends_a_previous_ledger(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "pets", ants_and_bees(20))
    preprocess(preprocess_job(place), out=tmp_path / "one")
    write_folder(place, {f"ants/new{number}.png": make_png(1000 + number) for number in range(20)})
    created = preprocess(preprocess_job(place, ledger=str(tmp_path / "one")), out=tmp_path / "two")
    before, after = (json.loads((tmp_path / name / "ledger.json").read_text())["entries"] for name in ("one", "two"))
    assert before.items() <= after.items()
    assert created.sizes == {"train": 42, "val": 9, "test": 9}


def test_limits_training_images_per_class(tmp_path: Path) -> None:
    created = preprocess(
        preprocess_job(write_folder(tmp_path / "p", make_images(SPLIT_FILES)), train_per_class=2), out=tmp_path / "out"
    )
    assert created.sizes == {"train": 4, "val": 6, "test": 6}
    assert "train: at most 2 images per class, drawn with seed 0" in created.notes


def test_deletes_the_files_of_an_interrupted_attempt(tmp_path: Path) -> None:
    out = write_folder(tmp_path / "out", {"images-00003.jpeg": b"x", "images.npy": b"half"})
    write_folder(tmp_path / ".out.part", {"pixels": b"half"})
    created = preprocess(preprocess_job(write_folder(tmp_path / "p", ants_and_bees())), out=out)
    assert sorted(created.files) == ["images.npy", "labels.npy", "ledger.json", "page.html", "samples.jsonl"]
    assert list(tmp_path.glob(".*")) == []


def test_composites_transparency_on_white(tmp_path: Path) -> None:
    files = ants_and_bees(8)
    clear = io.BytesIO()
    Image.new("RGBA", (12, 10), (0, 0, 0, 0)).save(clear, "PNG")
    files["ants/clear.png"] = clear.getvalue()
    preprocess(preprocess_job(write_folder(tmp_path / "p", files)), out=tmp_path / "out")
    index = [sample.key for sample in dataset.read_samples(tmp_path / "out")].index("ants/clear.png")
    assert (np.load(tmp_path / "out" / "images.npy")[index] == 255).all()


def test_photographs_with_predefined_splits(shared_data: Path, tmp_path: Path) -> None:
    created = preprocess(preprocess_job(shared_data / "hymenoptera.zip", image_size=64), out=tmp_path / "out")
    assert created.dropped == []
    assert created.sizes == {"train": 208, "val": 36, "test": 153}


def test_mnist(shared_data: Path, tmp_path: Path) -> None:
    created = preprocess(preprocess_job(shared_data / "mnist"), out=tmp_path / "out")
    assert (
        50_950 < created.sizes["train"] <= 51_000
    )  # a handful of ones and sevens are all but equal to a test_numbers one
    assert (created.sizes["val"], created.sizes["test"]) == (9_000, 10_000)
    assert created.mean[0] == pytest.approx(0.1307, abs=5e-4)
