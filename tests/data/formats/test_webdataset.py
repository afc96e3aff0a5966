import json
import re
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graftline.config import Columns
from graftline.data.formats import image_folder
from graftline.data.formats.location import DataLocation, data_location
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.webdataset import FORMAT, fields
from graftline.data.images.decode import pixels
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import serving
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, tar_of, zip_of
from tests.builders.raw_records import jpg, shards, wds


def read(path: Path, **columns: str) -> RawDataset:
    """Reads to the end; images stay readable only where the shards are not compressed."""
    with FORMAT.read(DataLocation(str(path), path, None, Columns(**columns))) as raw:
        return raw


def faults(raw: RawDataset) -> dict[str, str]:
    return {fault.file: fault.why for fault in raw.faults}


def refused(path: Path, message: str, **columns: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(path, **columns)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz"])
def test_reads_what_was_written(tmp_path: Path, suffix: str) -> None:
    place = shards(tmp_path / "set", suffix)
    assert FORMAT.found(at(place))
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == ["0", "1"]
        assert raw.faults == []
        assert [sample.key for sample in raw.samples][:2] == [f"test-000000{suffix}/0012", f"test-000000{suffix}/0013"]
        for sample in raw.samples:
            number = int(sample.key[-4:])
            assert sample.label == str(number % 2)
            assert sample.split == ("test" if number >= 12 else "train")
            assert sample.load().read() == jpg(number)  # type: ignore[union-attr]
        assert len(raw.samples) == 18
    assert {path.name for path in place.iterdir()} == {
        f"{name}{suffix}" for name in ("train-000000", "train-000001", "test-000000")
    }


def test_a_single_shard(tmp_path: Path) -> None:
    place = tar_of(tmp_path / "pets.tar", wds())
    assert FORMAT.found(at(place))
    raw = read(place)
    assert raw.samples[3].key == "pets.tar/0003"
    assert {sample.split for sample in raw.samples} == {None}


@pytest.mark.parametrize(
    "files",
    [
        pictures(PLAIN),
        {name.replace("png", "jpg"): b"x" for name in PLAIN},
        {"a.jpg": b"", "b.cls": b"", "c.jpg": b""},
        {"0.txt": b"", "0.json": b"", "1.txt": b""},
        {"notes.txt": b"words"},
        {},
    ],
)
def test_another_archive_is_not_found(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert not FORMAT.found(at(tar_of(tmp_path / "a.tar", files)))
    folder = folder_of(tmp_path / "folder", {"data-000000.tar": (tmp_path / "a.tar").read_bytes()})
    assert not FORMAT.found(at(folder))
    assert not FORMAT.found(at(zip_of(tmp_path / "a.zip", {"0.jpg": b"", "0.cls": b""})))


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
def test_splits_by_the_names_of_shards_and_folders(tmp_path: Path, shard: str, split: str | None) -> None:
    (tmp_path / shard).parent.mkdir(parents=True, exist_ok=True)
    tar_of(tmp_path / shard, wds())
    assert {sample.split for sample in read(tmp_path).samples} == {split}


def test_the_same_key_in_two_shards_is_two_samples(tmp_path: Path) -> None:
    for name in ("a-0.tar", "a-1.tar"):
        tar_of(tmp_path / name, wds())
    raw = read(tmp_path)
    assert len({sample.key for sample in raw.samples}) == len(raw.samples) == 12
    assert raw.faults == []


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
def test_labels_and_images_by_their_usual_names(
    tmp_path: Path, members: dict[str, bytes], label: str, image: str
) -> None:
    files = {image: jpg(0), **members}
    raw = read(tar_of(tmp_path / "a.tar", {f"x.{name}": content for name, content in files.items()}))
    assert [sample.label for sample in raw.samples] == [label]


def test_names_with_dots_are_one_key_and_its_fields(tmp_path: Path) -> None:
    files = {"F.pergan.28(f).jpg": jpg(0), "F.pergan.28(f).cls": b"1", "G.a.jpg": jpg(1), "G.b.cls": b"1"}
    raw = read(tar_of(tmp_path / "a.tar", files))
    assert [(sample.key, sample.label) for sample in raw.samples] == [("a.tar/F", "1")]
    assert [fault.file for fault in raw.faults] == ["a.tar/G"]


def test_class_folders_with_a_shard_beside_them_are_a_tree(tmp_path: Path) -> None:
    tar_of(tmp_path / "a-000000.tar", wds())
    assert FORMAT.found(at(tmp_path))
    assert not FORMAT.found(at(folder_of(tmp_path, pictures(PLAIN))))


def test_columns_say_which(tmp_path: Path) -> None:
    record = json.dumps({"species": "ant", "label": 3, "fold": "VAL", "patient": 17, "set": "zoo"}).encode()
    place = tar_of(
        tmp_path / "train-0.tar", {"x.jpg": jpg(0), "x.json": record, "x.kind.txt": b"worker", "x.cls": b"9"}
    )
    sample = read(place, label="species", split="fold", group="patient").samples[0]
    assert (sample.label, sample.split, sample.group) == ("ant", "val", "17")
    sample = read(place, label="Kind.txt").samples[0]
    assert (sample.label, sample.split, sample.group) == ("worker", "train", None)


def test_split_and_group_of_the_json_by_their_usual_names(tmp_path: Path) -> None:
    record = json.dumps({"label": "ant", "split": "test", "group": "cam1"}).encode()
    sample = read(tar_of(tmp_path / "train-0.tar", {"x.jpg": jpg(0), "x.json": record})).samples[0]
    assert (sample.label, sample.split, sample.group) == ("ant", "test", "cam1")


def test_what_belongs_to_no_sample_is_passed_over(tmp_path: Path) -> None:
    files = {
        "README": b"words",
        "__meta__": b"",
        "__x__/a.jpg": b"",
        "._0000.jpg": b"",
        ".DS_Store": b"",
        "__MACOSX/0.jpg": b"",
        **wds(),
        "info.npy": b"",
    }
    raw = read(tar_of(tmp_path / "a.tar", files))
    assert (len(raw.samples), raw.faults) == (6, [])


def test_numbers_are_sorted_as_numbers_and_words_as_words(tmp_path: Path) -> None:
    def classes(field: str, labels: list[str]) -> list[str]:
        files = {
            f"{number}.{kind}": content
            for number, label in enumerate(labels)
            for kind, content in (("jpg", jpg(0)), (field, label.encode()))
        }
        return read(tar_of(tmp_path / "a.tar", files)).classes

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
def test_a_file_beside_the_shards_names_the_classes(tmp_path: Path, file: str, content: bytes, inner: str) -> None:
    shards(tmp_path / inner)
    (tmp_path / inner / file).write_bytes(content)
    raw = read(tmp_path)
    assert raw.classes == ["owl", "ant"]
    assert {(int(sample.key[-4:]) % 2, sample.label) for sample in raw.samples} == {(0, "owl"), (1, "ant")}


def test_many_shards_need_few_open_files(tmp_path: Path) -> None:
    for number in range(80):
        tar_of(tmp_path / f"a-{number}.tar{'.gz' if number % 2 else ''}", wds(2, start=2 * number))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
    try:
        with FORMAT.read(at(tmp_path)) as raw:
            assert len([pixels(sample.load(), (3, 8, 8)) for sample in raw.samples]) == 160
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    files = {}
    for number in range(100):
        files[f"{number}.jpg"] = np.random.default_rng(number).bytes(200_000)
        files[f"{number}.cls"] = b"1"
    place = tar_of(tmp_path / "a.tar.gz", files)
    del files
    tracemalloc.start()
    with FORMAT.read(at(place)) as raw:
        peak = tracemalloc.get_traced_memory()[1]
        assert len(raw.samples) == 100
    tracemalloc.stop()
    assert peak < 6e6


def test_in_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards(tmp_path / "set")
    with serving() as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        bucket.objects = {f"wds/{path.name}": path.read_bytes() for path in (tmp_path / "set").iterdir()}
        bucket.objects["wds/classes.txt"] = b"owl\nant\n"
        (tmp_path / "here").mkdir()
        place = data_location("gs://bucket/wds", tmp_path / "here")
        assert FORMAT.found(place)
        assert not any((tmp_path / "here").rglob("*.tar"))
        with FORMAT.read(place) as raw:
            raw.fetch(raw.samples)
            assert raw.classes == ["owl", "ant"]
            assert raw.samples[0].load().read() == jpg(12)  # type: ignore[union-attr]


def test_hymenoptera_as_shards_is_hymenoptera(tmp_path: Path, shared_data: Path) -> None:
    with image_folder.FORMAT.read(at(shared_data / "hymenoptera.zip")) as folder:
        some = folder.samples[::8]
        for split in ("train", "val"):
            files = {}
            for number, sample in enumerate(some):
                if sample.split == split:
                    files[f"{number:06}.jpg"] = sample.load().read()  # type: ignore[union-attr]
                    files[f"{number:06}.txt"] = sample.label.encode()
            tar_of(tmp_path / f"{split}-000000.tar", files)
        with FORMAT.read(at(tmp_path)) as raw:
            assert raw.classes == folder.classes
            for sample in raw.samples:
                other = some[int(sample.key[-6:])]
                assert (sample.label, sample.split) == (other.label, other.split)
                assert sample.load().read() == other.load().read()  # type: ignore[union-attr]
            assert len(raw.samples) == len(some)


_THEIRS = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")  # webdataset 1.0.2, tariterators.base_plus_ext


@given(st.text(st.sampled_from("ab./_-Ä1"), max_size=12))
def test_keys_are_webdatasets_own(name: str) -> None:
    found = fields.key_of(name)
    theirs = _THEIRS.match(name)
    if name.rpartition("/")[2].startswith("."):  # a hidden file; WebDataset takes its folder for the key
        assert found is None
    else:
        assert found == ((theirs[1], theirs[2].lower()) if theirs else None)
