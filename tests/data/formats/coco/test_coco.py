import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from graftline.data.formats.coco.coco import FORMAT
from graftline.data.formats.folders import image_folder
from graftline.data.formats.location import DataLocation, locate_data
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import Bucket
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder, write_tar, write_zip
from tests.builders.raw_records import make_coco_json, write_coco_folder
from tests.builders.reading import assert_refused, dropped_reasons, locate, read_bytes, read_dataset

read = partial(read_dataset, FORMAT)
refused = partial(assert_refused, FORMAT)

LABELS = {f"{number}.png": [1 + number % 2] for number in range(6)}
NESTED = 100_000


def beside(folder: Path, content: bytes, names: list[str] | None = None) -> Path:
    """A JSON, and images of these names beside it."""
    return write_folder(folder, {**make_images(list(LABELS) if names is None else names), "annotations.json": content})


def test_the_layout_of_coco_is_read(tmp_path: Path) -> None:
    data_path = write_coco_folder(tmp_path)
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path)
    assert raw.classes == ["cat", "dog"]
    assert raw.dropped == []
    assert {sample.key: (sample.label, sample.split) for sample in raw.samples} == {
        f"{'train' if number < 8 else 'val'}2017/{number:012}.png": (
            "dog" if number % 2 else "cat",
            "train" if number < 8 else "val",
        )
        for number in range(16)
    }
    for sample in raw.samples:
        assert read_bytes(sample) == (data_path / sample.key).read_bytes()


@pytest.mark.parametrize("pack", [write_folder, write_zip, write_tar])
def test_the_layout_of_roboflow_exports_is_read(tmp_path: Path, pack: Any) -> None:
    files = {"README.txt": b"words"}
    for split in ("train", "valid", "test"):
        files.update({f"{split}/{split}-{name}": make_png(0) for name in LABELS})
        files[f"{split}/_annotations.coco.json"] = make_coco_json(
            {f"{split}-{name}": ids for name, ids in LABELS.items()}
        )
    data_path = pack(tmp_path / "export", files)
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path)
    assert {(sample.key.split("/")[0], sample.split) for sample in raw.samples} == {
        ("train", "train"),
        ("valid", "val"),
        ("test", "test"),
    }
    assert len(raw.samples) == 18


@pytest.mark.parametrize(
    ("images", "where"),
    [
        ("", "annotations.json"),
        ("images/", "annotations.json"),
        ("data/", "labels.json"),
        ("images/", "annotations/instances_default.json"),
        ("images/train/", "annotations/instances_train.json"),
        ("val2017/", "instances_val2017.json"),
        ("", "whatever.json"),
        ("train/", "train.json"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_images_are_found_in_all_supported_folders(tmp_path: Path, images: str, where: str, alone: bool) -> None:
    files = {images + name: make_png(number) for number, name in enumerate(LABELS)}
    write_folder(tmp_path, {**files, where: make_coco_json(LABELS)})
    data_path = tmp_path / where if alone else tmp_path
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path)
    assert {sample.key: read_bytes(sample) for sample in raw.samples} == files
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(locate(data_path)) == (
        sorted(str(tmp_path / name) for name in files) if alone else []
    )


def test_file_names_may_contain_folders_and_dots(tmp_path: Path) -> None:
    labels = {"./a/0.png": [1], "a/1.png": [2], "b//2.png": [1]}
    raw = read(beside(tmp_path, make_coco_json(labels), ["a/0.png", "a/1.png", "b/2.png"]))
    assert [sample.key for sample in raw.samples] == ["a/0.png", "a/1.png", "b/2.png"]


def test_an_image_has_a_class_if_its_annotations_agree(tmp_path: Path) -> None:
    labels = {**LABELS, "0.png": [1, 1, 1], "1.png": [2, 1, 3], "2.png": []}
    raw = read(beside(tmp_path, make_coco_json(labels)))
    assert {sample.key: sample.label for sample in raw.samples} == {
        "0.png": "cat",
        "3.png": "dog",
        "4.png": "cat",
        "5.png": "dog",
    }
    assert dropped_reasons(raw) == {
        "2.png": "no annotation",
        "1.png": "3 categories: cat, dog, owl; classification needs exactly one, `task: multilabel` allows any number",
    }
    assert raw.classes == ["cat", "dog"]


def test_many_categories_are_not_all_listed(tmp_path: Path) -> None:
    names = tuple("abcdefgh")
    raw = read(beside(tmp_path, make_coco_json({**LABELS, "0.png": [1, 2, 3, 4, 5, 6, 7]}, names)))
    assert dropped_reasons(raw)["0.png"].startswith(
        "7 categories: a, b, c, d, e, ...; classification needs exactly one"
    )


def test_for_multilabel_an_image_has_all_its_categories(tmp_path: Path) -> None:
    data_path = beside(tmp_path, make_coco_json({**LABELS, "0.png": [1, 1, 3], "1.png": [2, 1], "2.png": []}))
    with FORMAT.open(DataLocation(str(data_path), data_path, task="multilabel")) as raw:
        assert (raw.task, raw.classes, raw.dropped) == ("multilabel", ["cat", "dog", "owl"], [])
        assert {sample.key: sample.label for sample in raw.samples} == {
            "0.png": '["cat","owl"]',
            "1.png": '["cat","dog"]',
            "2.png": "[]",
            "3.png": '["dog"]',
            "4.png": '["cat"]',
            "5.png": '["dog"]',
        }


def test_split_and_group_are_read_from_image_records(tmp_path: Path) -> None:
    value = json.loads(make_coco_json(LABELS))
    for number, image in enumerate(value["images"]):
        image.update(location=number // 2, split=["train", "val", "test"][number % 3], fold="TEST")
    data_path = beside(tmp_path, json.dumps(value).encode())
    raw = read(data_path, group="location")
    assert [(sample.group, sample.split) for sample in raw.samples[:3]] == [("0", "train"), ("0", "val"), ("1", "test")]
    assert {sample.split for sample in read(data_path, split="fold").samples} == {"test"}
    refused_by = "its 'patient' is None, expected a short text or a number"
    with pytest.raises(RefusedError, match=refused_by):
        read(data_path, group="patient")


def test_a_folder_without_a_json_is_refused(tmp_path: Path) -> None:
    data_path = write_folder(tmp_path, make_images(CLASS_FILES))
    assert not FORMAT.detect(locate(data_path))
    refused(data_path, "no COCO JSON among 8 files; expected annotations/instances")


def test_other_json_files_are_ignored(tmp_path: Path) -> None:
    data_path = write_coco_folder(tmp_path / "a")
    for name in ("captions_train2017.json", "person_keypoints_val2017.json"):
        (data_path / "annotations" / name).write_text('{"info": 1}')
    assert len(read(data_path).samples) == 16
    other = write_folder(
        tmp_path / "b", {**make_images(list(LABELS)), "config.json": b"{}", "set.json": make_coco_json(LABELS)}
    )
    assert FORMAT.detect(locate(other))
    assert len(read(other).samples) == 6


def test_json_records_next_to_images_are_not_detected_as_coco(tmp_path: Path) -> None:
    files = {**make_images(CLASS_FILES), **{name.replace(".png", ".json"): b'{"label": "x"}' for name in CLASS_FILES}}
    assert not FORMAT.detect(locate(write_folder(tmp_path, files)))
    (tmp_path / "rows.json").write_text('{"image_id": 1, "category_id": 2}\n' * 20)
    assert not FORMAT.detect(locate(tmp_path / "rows.json"))


def test_an_image_in_two_jsons_is_used_once(tmp_path: Path) -> None:
    data_path = write_folder(
        tmp_path,
        {
            **{f"images/{name}": make_png(0) for name in LABELS},
            "annotations/instances_train.json": make_coco_json(LABELS),
            "annotations/instances_val.json": make_coco_json({"0.png": [1], "9.png": [1]}),
        },
    )
    raw = read(data_path)
    assert dropped_reasons(raw)["images/0.png"] == "listed twice, the second time in annotations/instances_val.json"
    assert len(raw.samples) == 6


def test_only_the_requested_files_of_a_bucket_are_downloaded(tmp_path: Path, bucket: Bucket) -> None:
    folder = write_coco_folder(tmp_path / "set")
    bucket.objects = {
        f"coco/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    (tmp_path / "here").mkdir()
    location = locate_data("gs://bucket/coco", tmp_path / "here")
    assert FORMAT.detect(location)
    with FORMAT.open(location) as raw:
        assert not list((tmp_path / "here").rglob("*.png"))
        raw.fetch(raw.samples[:5])
        assert len(list((tmp_path / "here").rglob("*.png"))) == 5
        assert read_bytes(raw.samples[3]) == (folder / raw.samples[3].key).read_bytes()


def test_a_single_json_in_a_bucket_is_refused(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects = {"coco/a.json": make_coco_json(LABELS)}
    location = locate_data("gs://bucket/coco/a.json", tmp_path)
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(location) == []
    with (
        pytest.raises(
            RefusedError, match=r"a\.json: a COCO JSON without its images; give the bucket folder that contains both"
        ),
        FORMAT.open(location),
    ):
        pass


def test_hymenoptera_as_coco_equals_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with image_folder.FORMAT.open(locate(shared_data / "hymenoptera.zip")) as folder:
        selected = folder.samples[::8]
        files = {}
        for split in ("train", "val"):
            own = [(sample, f"{number:06}.jpg") for number, sample in enumerate(selected) if sample.split == split]
            files.update({f"{split}2017/{name}": read_bytes(sample) for sample, name in own})
            files[f"annotations/instances_{split}2017.json"] = make_coco_json(
                {name: [1 + folder.classes.index(sample.label)] * 2 for sample, name in own}, tuple(folder.classes)
            )
        raw = read(write_folder(tmp_path, files))
    assert raw.classes == folder.classes
    assert {(sample.key[-10:-4], sample.label, sample.split) for sample in raw.samples} == {
        (f"{number:06}", sample.label, sample.split) for number, sample in enumerate(selected)
    }
