from functools import partial
from pathlib import Path
from typing import Any

import pytest

from graftline.data.formats import FORMATS, select_format
from graftline.data.formats.folders.unlabeled import FORMAT
from graftline.data.formats.location import locate_data
from graftline.data.formats.naming.split_names import SPLITS
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import Bucket
from tests.builders.raw_data import CLASS_FILES, SPLIT_FILES, make_images, write_folder, write_tar, write_zip
from tests.builders.reading import locate, read_bytes, read_dataset

read = partial(read_dataset, FORMAT)

DEEP = ["1.png", "a/2.png", "a/b/c/3.JPEG", "train/4.webp"]


@pytest.mark.parametrize(
    ("pack", "name"),
    [(write_folder, "pets"), (write_zip, "pets.zip"), (write_tar, "pets.tar"), (write_tar, "pets.tar.gz")],
)
def test_unlabeled_images_are_read_at_any_depth(tmp_path: Path, pack: Any, name: str) -> None:
    files = make_images(DEEP)
    data_path = pack(
        tmp_path / name, {**files, "notes.txt": b"words", "a/labels.csv": b"", ".DS_Store": b"", "__MACOSX/1.png": b""}
    )
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == []
        assert {sample.label for sample in raw.samples} == {""}
        assert {sample.split for sample in raw.samples} == {None}
        assert {sample.key: read_bytes(sample) for sample in raw.samples} == files
        assert raw.notes == ["ignored 2 files whose names are not those of images"]
        assert raw.dropped == []


@pytest.mark.parametrize("top", ["", "set/", "set/data/"])
@pytest.mark.parametrize(
    "names", [["train/1.png", "val/2.png", "test/3.png"], SPLIT_FILES, ["Valid/a/1.png", "train/b/c/2.png"]]
)
def test_top_folders_with_split_names_are_splits(tmp_path: Path, top: str, names: list[str]) -> None:
    raw = read(write_folder(tmp_path, make_images([top + name for name in names])))
    assert {(sample.key, sample.split) for sample in raw.samples} == {
        (top + name, SPLITS[name.split("/")[0].lower()]) for name in names
    }


def test_an_image_next_to_split_folders_is_dropped(tmp_path: Path) -> None:
    raw = read(write_folder(tmp_path, make_images(["set/train/1.png", "set/test/2.png", "3.png"])))
    assert [(item.file, item.why) for item in raw.dropped] == [("3.png", "not in a split folder")]


def test_split_folders_mixed_with_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError,
        match=r"the folders \['test', 'train'\] are named like splits, but \['more'\] next to them are not",
    ):
        read(write_folder(tmp_path, make_images(["train/1.png", "test/2.png", "more/3.png"])))


def test_links_outside_the_folder_are_dropped(tmp_path: Path) -> None:
    data_path = write_folder(tmp_path / "pets", make_images(DEEP))
    (tmp_path / "secret.png").write_bytes(b"x")
    (data_path / "a" / "out.png").symlink_to(tmp_path / "secret.png")
    raw = read(data_path)
    assert [(item.file, item.why) for item in raw.dropped] == [("a/out.png", "a link to a file outside the folder")]
    assert len(raw.samples) == len(DEEP)


def test_data_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no images among 1 files; expected names that end in \.bmp, \.gif"):
        read(write_folder(tmp_path / "a", {"notes.txt": b"words"}))
    with pytest.raises(RefusedError, match="expected a folder or a complete zip"):
        read(write_folder(tmp_path / "b", {"notes.txt": b"words"}) / "notes.txt")


@pytest.mark.parametrize("names", [DEEP, CLASS_FILES, SPLIT_FILES, ["1.png"]])
def test_unlabeled_data_are_never_detected(tmp_path: Path, names: list[str]) -> None:
    location = locate(write_folder(tmp_path, make_images(names)))
    assert not FORMAT.detect(location)
    assert select_format("auto", location) is FORMATS["image_folder"]
    assert select_format("auto", locate(write_zip(tmp_path / "a.zip", make_images(names)))) is FORMATS["archive"]


@pytest.mark.parametrize(
    ("pack", "known"), [(write_folder, "image_folder"), (write_zip, "archive"), (write_tar, "archive")]
)
def test_images_without_class_folders_are_refused_with_advice(tmp_path: Path, pack: Any, known: str) -> None:
    location = locate(pack(tmp_path / "a.tar", make_images(["1.png", "2.png"])))
    with (
        pytest.raises(RefusedError, match=r"For data without labels, set format: unlabeled$"),
        FORMATS[known].open(location),
    ):
        pass


def test_only_the_requested_files_of_a_bucket_are_downloaded(tmp_path: Path, bucket: Bucket) -> None:
    bucket.objects = {f"pets/{name}": content for name, content in make_images(DEEP).items()}
    location = locate_data("gs://bucket/pets", tmp_path)
    with FORMAT.open(location) as raw:
        raw.fetch(raw.samples[:2])
        assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
        assert read_bytes(raw.samples[3]) == make_images(DEEP)[raw.samples[3].key]
