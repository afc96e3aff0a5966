import json
from pathlib import Path
from typing import Any

import pytest

from graftline.config import Columns
from graftline.data.formats import image_folder
from graftline.data.formats.coco import FORMAT
from graftline.data.formats.location import DataLocation, data_location
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import Bucket, serving
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, png, tar_of, zip_of
from tests.builders.raw_records import coco, coco_folder

LABELS = {f"{number}.png": [1 + number % 2] for number in range(6)}
NESTED = 100_000


def read(path: Path, **columns: str) -> RawDataset:
    with FORMAT.read(DataLocation(str(path), path, None, Columns(**columns))) as raw:
        return raw


def refused(path: Path, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(path)


def beside(folder: Path, content: bytes, names: list[str] | None = None) -> Path:
    """A JSON, and images of these names beside it."""
    return folder_of(folder, {**pictures(list(LABELS) if names is None else names), "annotations.json": content})


def faults(raw: RawDataset) -> dict[str, str]:
    return {fault.file: fault.why for fault in raw.faults}


def test_as_coco_itself_lies_on_disk(tmp_path: Path) -> None:
    place = coco_folder(tmp_path)
    assert FORMAT.found(at(place))
    raw = read(place)
    assert raw.classes == ["cat", "dog"]
    assert raw.faults == []
    assert {sample.key: (sample.label, sample.split) for sample in raw.samples} == {
        f"{'train' if number < 8 else 'val'}2017/{number:012}.png": (
            "dog" if number % 2 else "cat",
            "train" if number < 8 else "val",
        )
        for number in range(16)
    }
    for sample in raw.samples:
        assert sample.load().read() == (place / sample.key).read_bytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("pack", [folder_of, zip_of, tar_of])
def test_as_roboflow_exports_it(tmp_path: Path, pack: Any) -> None:
    files = {"README.txt": b"words"}
    for split in ("train", "valid", "test"):
        files.update({f"{split}/{split}-{name}": png(0) for name in LABELS})
        files[f"{split}/_annotations.coco.json"] = coco({f"{split}-{name}": ids for name, ids in LABELS.items()})
    place = pack(tmp_path / "export", files)
    assert FORMAT.found(at(place))
    raw = read(place)
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
def test_where_the_images_may_lie(tmp_path: Path, images: str, where: str, alone: bool) -> None:
    files = {images + name: png(number) for number, name in enumerate(LABELS)}
    folder_of(tmp_path, {**files, where: coco(LABELS)})
    place = tmp_path / where if alone else tmp_path
    assert FORMAT.found(at(place))
    raw = read(place)
    assert {sample.key: sample.load().read() for sample in raw.samples} == files  # type: ignore[union-attr]
    assert FORMAT.names is not None
    assert FORMAT.names(at(place)) == (sorted(str(tmp_path / name) for name in files) if alone else [])


def test_names_may_hold_folders_and_dots(tmp_path: Path) -> None:
    labels = {"./a/0.png": [1], "a/1.png": [2], "b//2.png": [1]}
    raw = read(beside(tmp_path, coco(labels), ["a/0.png", "a/1.png", "b/2.png"]))
    assert [sample.key for sample in raw.samples] == ["a/0.png", "a/1.png", "b/2.png"]


def test_an_image_gets_a_class_when_its_annotations_agree(tmp_path: Path) -> None:
    labels = {**LABELS, "0.png": [1, 1, 1], "1.png": [2, 1, 3], "2.png": []}
    raw = read(beside(tmp_path, coco(labels)))
    assert {sample.key: sample.label for sample in raw.samples} == {
        "0.png": "cat",
        "3.png": "dog",
        "4.png": "cat",
        "5.png": "dog",
    }
    assert faults(raw) == {
        "2.png": "no annotation",
        "1.png": "3 categories: cat, dog, owl; classification needs one, `task: multilabel` takes any number",
    }
    assert raw.classes == ["cat", "dog"]


def test_many_categories_are_not_all_listed(tmp_path: Path) -> None:
    names = tuple("abcdefgh")
    raw = read(beside(tmp_path, coco({**LABELS, "0.png": [1, 2, 3, 4, 5, 6, 7]}, names)))
    assert faults(raw)["0.png"].startswith("7 categories: a, b, c, d, e, ...; classification needs one")


def test_for_multilabel_an_image_has_all_its_categories(tmp_path: Path) -> None:
    place = beside(tmp_path, coco({**LABELS, "0.png": [1, 1, 3], "1.png": [2, 1], "2.png": []}))
    with FORMAT.read(DataLocation(str(place), place, task="multilabel")) as raw:
        assert (raw.task, raw.classes, raw.faults) == ("multilabel", ["cat", "dog", "owl"], [])
        assert {sample.key: sample.label for sample in raw.samples} == {
            "0.png": '["cat","owl"]',
            "1.png": '["cat","dog"]',
            "2.png": "[]",
            "3.png": '["dog"]',
            "4.png": '["cat"]',
            "5.png": '["dog"]',
        }


def test_split_and_group_of_the_images_records(tmp_path: Path) -> None:
    value = json.loads(coco(LABELS))
    for number, image in enumerate(value["images"]):
        image.update(location=number // 2, split=["train", "val", "test"][number % 3], fold="TEST")
    place = beside(tmp_path, json.dumps(value).encode())
    raw = read(place, group="location")
    assert [(sample.group, sample.split) for sample in raw.samples[:3]] == [("0", "train"), ("0", "val"), ("1", "test")]
    assert {sample.split for sample in read(place, split="fold").samples} == {"test"}
    refused_by = "its 'patient' is None, expected a short text or a number"
    with pytest.raises(RefusedError, match=refused_by):
        read(place, group="patient")


def test_a_folder_without_a_json_is_refused(tmp_path: Path) -> None:
    place = folder_of(tmp_path, pictures(PLAIN))
    assert not FORMAT.found(at(place))
    refused(place, "no COCO JSON among 8 files; expected annotations/instances")


def test_other_jsons_are_passed_over(tmp_path: Path) -> None:
    place = coco_folder(tmp_path / "a")
    for name in ("captions_train2017.json", "person_keypoints_val2017.json"):
        (place / "annotations" / name).write_text('{"info": 1}')
    assert len(read(place).samples) == 16
    other = folder_of(tmp_path / "b", {**pictures(list(LABELS)), "config.json": b"{}", "set.json": coco(LABELS)})
    assert FORMAT.found(at(other))
    assert len(read(other).samples) == 6


def test_records_beside_images_are_no_coco(tmp_path: Path) -> None:
    files = {**pictures(PLAIN), **{name.replace(".png", ".json"): b'{"label": "x"}' for name in PLAIN}}
    assert not FORMAT.found(at(folder_of(tmp_path, files)))
    (tmp_path / "rows.json").write_text('{"image_id": 1, "category_id": 2}\n' * 20)
    assert not FORMAT.found(at(tmp_path / "rows.json"))


def test_one_image_in_two_jsons_is_taken_once(tmp_path: Path) -> None:
    place = folder_of(
        tmp_path,
        {
            **{f"images/{name}": png(0) for name in LABELS},
            "annotations/instances_train.json": coco(LABELS),
            "annotations/instances_val.json": coco({"0.png": [1], "9.png": [1]}),
        },
    )
    raw = read(place)
    assert faults(raw)["images/0.png"] == "named twice, again in annotations/instances_val.json"
    assert len(raw.samples) == 6


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    with serving() as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        yield bucket


def test_in_a_bucket_only_what_is_asked_for_is_fetched(tmp_path: Path, bucket: Bucket) -> None:
    folder = coco_folder(tmp_path / "set")
    bucket.objects = {
        f"coco/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    (tmp_path / "here").mkdir()
    place = data_location("gs://bucket/coco", tmp_path / "here")
    assert FORMAT.found(place)
    with FORMAT.read(place) as raw:
        assert not list((tmp_path / "here").rglob("*.png"))
        raw.fetch(raw.samples[:5])
        assert len(list((tmp_path / "here").rglob("*.png"))) == 5
        assert raw.samples[3].load().read() == (folder / raw.samples[3].key).read_bytes()  # type: ignore[union-attr]


def test_a_json_alone_in_a_bucket_is_refused(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects = {"coco/a.json": coco(LABELS)}
    place = data_location("gs://bucket/coco/a.json", tmp_path)
    assert FORMAT.names is not None
    assert FORMAT.names(place) == []
    with (
        pytest.raises(RefusedError, match=r"a\.json: a COCO JSON without its images; give the folder in the bucket"),
        FORMAT.read(place),
    ):
        pass


def test_hymenoptera_as_coco_is_hymenoptera(tmp_path: Path, shared_data: Path) -> None:
    with image_folder.FORMAT.read(at(shared_data / "hymenoptera.zip")) as folder:
        some = folder.samples[::8]
        files = {}
        for split in ("train", "val"):
            own = [(sample, f"{number:06}.jpg") for number, sample in enumerate(some) if sample.split == split]
            files.update({f"{split}2017/{name}": sample.load().read() for sample, name in own})  # type: ignore[union-attr]
            files[f"annotations/instances_{split}2017.json"] = coco(
                {name: [1 + folder.classes.index(sample.label)] * 2 for sample, name in own}, tuple(folder.classes)
            )
        raw = read(folder_of(tmp_path, files))
    assert raw.classes == folder.classes
    assert {(sample.key[-10:-4], sample.label, sample.split) for sample in raw.samples} == {
        (f"{number:06}", sample.label, sample.split) for number, sample in enumerate(some)
    }
