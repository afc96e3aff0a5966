import json
import re
import resource
import tracemalloc
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.data.formats.folders import image_folder
from graftline.data.formats.location import locate_data
from graftline.data.formats.webdataset import fields
from graftline.data.formats.webdataset.webdataset import FORMAT
from graftline.data.images.decode import decode_image
from tests.builders.fake_bucket import Bucket
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder, write_tar, write_zip
from tests.builders.raw_records import make_jpg, make_shard_members, write_shards
from tests.builders.reading import assert_refused, locate, read_bytes, read_dataset

read = partial(read_dataset, FORMAT)
refused = partial(assert_refused, FORMAT)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_reads_what_was_written(tmp_path: Path, suffix: str) -> None:
    data_path = write_shards(tmp_path / "set", suffix)
    assert FORMAT.detect(locate(data_path))
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == ["0", "1"]
        assert raw.dropped == []
        assert [sample.key for sample in raw.samples][:2] == [f"test-000000{suffix}/0012", f"test-000000{suffix}/0013"]
        for sample in raw.samples:
            number = int(sample.key[-4:])
            assert sample.label == str(number % 2)
            assert sample.split == ("test" if number >= 12 else "train")
            assert read_bytes(sample) == make_jpg(number)
        assert len(raw.samples) == 18
    assert {path.name for path in data_path.iterdir()} == {
        f"{name}{suffix}" for name in ("train-000000", "train-000001", "test-000000")
    }


def test_a_single_shard_is_read(tmp_path: Path) -> None:
    data_path = write_tar(tmp_path / "pets.tar", make_shard_members())
    assert FORMAT.detect(locate(data_path))
    raw = read(data_path)
    assert raw.samples[3].key == "pets.tar/0003"
    assert {sample.split for sample in raw.samples} == {None}


@pytest.mark.parametrize(
    "files",
    [
        make_images(CLASS_FILES),
        {name.replace("png", "jpg"): b"x" for name in CLASS_FILES},
        {"a.jpg": b"", "b.cls": b"", "c.jpg": b""},
        {"0.txt": b"", "0.json": b"", "1.txt": b""},
        {"notes.txt": b"words"},
        {},
    ],
)
def test_other_archives_are_not_detected_as_shards(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert not FORMAT.detect(locate(write_tar(tmp_path / "a.tar", files)))
    folder = write_folder(tmp_path / "folder", {"data-000000.tar": (tmp_path / "a.tar").read_bytes()})
    assert not FORMAT.detect(locate(folder))
    assert not FORMAT.detect(locate(write_zip(tmp_path / "a.zip", {"0.jpg": b"", "0.cls": b""})))


@pytest.mark.parametrize(
    ("shard", "split"),
    [
        ("train-000000.tar", "train"),
        ("imagenet-val-000001.tar", "val"),
        ("imagenet1k-validation-00.tar", "val"),
        ("test/000000.tar", "test"),
        ("valid/part-0.tar", "val"),
        ("data/test/train-0.tar", "test"),
        ("Train_01.tar", "train"),
        ("test-set-train-00.tar", "train"),
        ("trainer-000.tar", None),
        ("contest-000.tar", None),
        ("000000.tar", None),
    ],
)
def test_splits_are_read_from_names_of_shards_and_folders(tmp_path: Path, shard: str, split: str | None) -> None:
    (tmp_path / shard).parent.mkdir(parents=True, exist_ok=True)
    write_tar(tmp_path / shard, make_shard_members())
    assert {sample.split for sample in read(tmp_path).samples} == {split}


def test_the_same_key_in_two_shards_is_two_samples(tmp_path: Path) -> None:
    for name in ("a-0.tar", "a-1.tar"):
        write_tar(tmp_path / name, make_shard_members())
    raw = read(tmp_path)
    assert len({sample.key for sample in raw.samples}) == len(raw.samples) == 12
    assert raw.dropped == []


@pytest.mark.parametrize(
    ("members", "label"),
    [
        ({"cls": b" 7\n"}, "7"),
        ({"cls2": b"07"}, "7"),
        ({"txt": b"cat\n"}, "cat"),
        ({"label": "katze ä".encode()}, "katze ä"),
        ({"class": b"cat"}, "cat"),
        ({"CLS": b"3"}, "3"),
        ({"json": b'{"label": "cat", "w": 3}'}, "cat"),
        ({"json": b'{"class": 4}'}, "4"),
        ({"json": b'{"category": 4.0}'}, "4"),
        ({"json": b'{"cls": true}'}, "true"),
        ({"json": b'{"target": "dog"}'}, "dog"),
        ({"json": b'"owl"'}, "owl"),
        ({"txt": b"a cat on a mat", "json": b'{"label": "cat"}'}, "cat"),
        ({"txt": b"cat", "json": b'{"url": "x"}'}, "cat"),
        ({"cls": b"1", "txt": bytes(2**20 + 1)}, "1"),
        ({"cls": b"1", "txt": b"one", "npy": b"\x93NUMPY"}, "1"),
    ],
)
@pytest.mark.parametrize("image", ["jpg", "JPEG", "png", "image.jpg", "rgb.png", "img", "webp"])
def test_labels_and_images_are_recognized_by_usual_fields(
    tmp_path: Path, members: dict[str, bytes], label: str, image: str
) -> None:
    files = {image: make_jpg(0), **members}
    raw = read(write_tar(tmp_path / "a.tar", {f"x.{name}": content for name, content in files.items()}))
    assert [sample.label for sample in raw.samples] == [label]


def test_names_are_split_at_the_first_dot(tmp_path: Path) -> None:
    files = {"F.pergan.28(f).jpg": make_jpg(0), "F.pergan.28(f).cls": b"1", "G.a.jpg": make_jpg(1), "G.b.cls": b"1"}
    raw = read(write_tar(tmp_path / "a.tar", files))
    assert [(sample.key, sample.label) for sample in raw.samples] == [("a.tar/F", "1")]
    assert [item.file for item in raw.dropped] == ["a.tar/G"]


def test_class_folders_next_to_a_shard_are_not_detected_as_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "a-000000.tar", make_shard_members())
    assert FORMAT.detect(locate(tmp_path))
    assert not FORMAT.detect(locate(write_folder(tmp_path, make_images(CLASS_FILES))))


def test_columns_select_label_split_and_group(tmp_path: Path) -> None:
    record = json.dumps({"species": "ant", "label": 3, "fold": "VAL", "patient": 17, "set": "zoo"}).encode()
    data_path = write_tar(
        tmp_path / "train-0.tar", {"x.jpg": make_jpg(0), "x.json": record, "x.kind.txt": b"worker", "x.cls": b"9"}
    )
    sample = read(data_path, label="species", split="fold", group="patient").samples[0]
    assert (sample.label, sample.split, sample.group) == ("ant", "val", "17")
    sample = read(data_path, label="Kind.txt").samples[0]
    assert (sample.label, sample.split, sample.group) == ("worker", "train", None)


def test_split_and_group_are_read_from_usual_json_keys(tmp_path: Path) -> None:
    record = json.dumps({"label": "ant", "split": "test", "group": "cam1"}).encode()
    sample = read(write_tar(tmp_path / "train-0.tar", {"x.jpg": make_jpg(0), "x.json": record})).samples[0]
    assert (sample.label, sample.split, sample.group) == ("ant", "test", "cam1")


def test_members_without_a_sample_are_ignored(tmp_path: Path) -> None:
    files = {
        "README": b"words",
        "__meta__": b"",
        "__x__/a.jpg": b"",
        "._0000.jpg": b"",
        ".DS_Store": b"",
        "__MACOSX/0.jpg": b"",
        **make_shard_members(),
        "info.npy": b"",
    }
    raw = read(write_tar(tmp_path / "a.tar", files))
    assert (len(raw.samples), raw.dropped) == (6, [])


def test_classes_are_sorted_numerically_or_alphabetically(tmp_path: Path) -> None:
    def classes(field: str, labels: list[str]) -> list[str]:
        files = {
            f"{number}.{kind}": content
            for number, label in enumerate(labels)
            for kind, content in (("jpg", make_jpg(0)), (field, label.encode()))
        }
        return read(write_tar(tmp_path / "a.tar", files)).classes

    assert classes("cls", ["10", "9", "2", "10"]) == ["2", "9", "10"]
    assert classes("txt", ["b", "10", "9"]) == ["10", "9", "b"]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classes.txt", b"owl\r\nant\ncat\n\n"),
        ("labels.txt", b"owl\nant\ncat"),
        ("classes.json", b'["owl", "ant", "cat"]'),
        ("classes.json", b'{"1": "ant", "0": "owl", "2": "cat"}'),
    ],
)
@pytest.mark.parametrize("inner", ["", "data/"])
def test_class_names_are_read_from_a_file_next_to_the_shards(
    tmp_path: Path, file: str, content: bytes, inner: str
) -> None:
    write_shards(tmp_path / inner)
    (tmp_path / inner / file).write_bytes(content)
    raw = read(tmp_path)
    assert raw.classes == ["owl", "ant"]
    assert {(int(sample.key[-4:]) % 2, sample.label) for sample in raw.samples} == {(0, "owl"), (1, "ant")}


def test_many_shards_need_few_open_files(tmp_path: Path) -> None:
    for number in range(80):
        write_tar(tmp_path / f"a-{number}.tar{'.gz' if number % 2 else ''}", make_shard_members(2, start=2 * number))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        with FORMAT.open(locate(tmp_path)) as raw:
            assert len([decode_image(sample.load(), (3, 8, 8)) for sample in raw.samples]) == 160
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    files = {}
    for number in range(100):
        files[f"{number}.jpg"] = np.random.default_rng(number).bytes(200_000)
        files[f"{number}.cls"] = b"1"
    data_path = write_tar(tmp_path / "a.tar.gz", files)
    del files
    tracemalloc.start()
    with FORMAT.open(locate(data_path)) as raw:
        peak = tracemalloc.get_traced_memory()[1]
        assert len(raw.samples) == 100
    tracemalloc.stop()
    assert peak < 6e6


def test_shards_in_a_bucket_are_read(tmp_path: Path, bucket: Bucket) -> None:
    write_shards(tmp_path / "set")
    bucket.objects = {f"wds/{path.name}": path.read_bytes() for path in (tmp_path / "set").iterdir()}
    bucket.objects["wds/classes.txt"] = b"owl\nant\n"
    (tmp_path / "here").mkdir()
    location = locate_data("gs://bucket/wds", tmp_path / "here")
    assert FORMAT.detect(location)
    assert not any((tmp_path / "here").rglob("*.tar"))
    with FORMAT.open(location) as raw:
        raw.fetch(raw.samples)
        assert raw.classes == ["owl", "ant"]
        assert read_bytes(raw.samples[0]) == make_jpg(12)


def test_hymenoptera_as_shards_equals_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with image_folder.FORMAT.open(locate(shared_data / "hymenoptera.zip")) as folder:
        selected = folder.samples[::8]
        for split in ("train", "val"):
            files = {}
            for number, sample in enumerate(selected):
                if sample.split == split:
                    files[f"{number:06}.jpg"] = read_bytes(sample)
                    files[f"{number:06}.txt"] = sample.label.encode()
            write_tar(tmp_path / f"{split}-000000.tar", files)
        with FORMAT.open(locate(tmp_path)) as raw:
            assert raw.classes == folder.classes
            for sample in raw.samples:
                other = selected[int(sample.key[-6:])]
                assert (sample.label, sample.split) == (other.label, other.split)
                assert read_bytes(sample) == read_bytes(other)
            assert len(raw.samples) == len(selected)


_THEIRS = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")  # webdataset 1.0.2, tariterators.base_plus_ext


@given(st.text(st.sampled_from("ab./_-Ä1"), max_size=12))
def test_keys_equal_those_of_webdataset(name: str) -> None:
    parsed = fields.parse_name(name)
    theirs = _THEIRS.match(name)
    if name.rpartition("/")[2].startswith("."):  # a hidden file; WebDataset takes its folder for the key
        assert parsed is None
    else:
        assert parsed == ((theirs[1], theirs[2].lower()) if theirs else None)
