from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graftline.data.formats.archive import FORMAT as ARCHIVE
from graftline.data.formats.parquet import FORMAT
from graftline.data.formats.tables import parquet_images
from tests.builders.raw_data import PLAIN, SPLIT, at, folder_of, pictures
from tests.builders.tables import ROWS, content, embedded, facts, faults, hugging_face, parquet_of

pa = pytest.importorskip("pyarrow", reason="skipped: pyarrow is not installed")


@pytest.mark.parametrize("group", [1, 3, 100])
def test_images_in_rows_as_datasets_writes_them(tmp_path: Path, group: int) -> None:
    images = pictures(PLAIN)
    place = at(hugging_face(tmp_path / "train.parquet", images, group=group))
    assert FORMAT.found(place)
    with FORMAT.read(place) as raw:
        assert raw.classes == ["ants", "bees"]
        assert facts(raw) == [
            (f"train.parquet#{row}/{name.split('/')[1]}", name.split("/")[0]) for row, name in enumerate(PLAIN)
        ]
        for _ in range(2):
            assert [content(sample) for sample in reversed(raw.samples)] == list(images.values())[::-1]


def test_classes_stand_in_their_declared_order_and_unused_ones_are_said(tmp_path: Path) -> None:
    place = hugging_face(tmp_path / "a.parquet", pictures(PLAIN), ["wasps", "bees", "ants", "flies"])
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == ["bees", "ants"]
        assert raw.notes == ["2 of 4 declared classes have no row"]


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "struct"])
def test_bytes_of_each_type(tmp_path: Path, kind: str) -> None:
    images = pictures(PLAIN)
    column = (
        embedded((each, None) for each in images.values())
        if kind == "struct"
        else pa.array(list(images.values()), getattr(pa, kind)())
    )
    place = parquet_of(tmp_path / "a.parquet", {"img": column, "y": [row % 2 for row in range(8)]})
    with FORMAT.read(at(place)) as raw:
        assert [content(sample) for sample in raw.samples] == list(images.values())
        assert facts(raw) == [(f"a.parquet#{row}", str(row % 2)) for row in range(8)]


def test_splits_by_file_name_beside_and_in_data(tmp_path: Path) -> None:
    for folder in ("", "data/"):
        place = tmp_path / f"at{folder}"
        for name, split in {
            "train-00000-of-00002": "train",
            "train-00001-of-00002": "train",
            "validation-00000-of-00001": "val",
            "test-00000-of-00001": "test",
        }.items():
            names = [each.replace("train", name) for each in SPLIT if each.startswith(split)]
            hugging_face(place / folder / f"{name}.parquet", pictures(names or ["x/ants/1.png", "x/bees/2.png"]))
        assert FORMAT.found(at(place))
        with FORMAT.read(at(place)) as raw:
            assert {(sample.key.split("#")[0], sample.split) for sample in raw.samples} == {
                (f"{folder}train-00000-of-00002.parquet", "train"),
                (f"{folder}train-00001-of-00002.parquet", "train"),
                (f"{folder}validation-00000-of-00001.parquet", "val"),
                (f"{folder}test-00000-of-00001.parquet", "test"),
            }


def test_splits_by_folder(tmp_path: Path) -> None:
    for split in ("train", "test"):
        hugging_face(tmp_path / split / "0000.parquet", pictures(PLAIN))
    with FORMAT.read(at(tmp_path)) as raw:
        assert [sample.split for sample in raw.samples] == ["test"] * 8 + ["train"] * 8


@pytest.mark.parametrize("embed", [True, False])
def test_rows_that_name_files(tmp_path: Path, embed: bool) -> None:
    """A column of paths, or one that `datasets` wrote without its files."""
    folder_of(tmp_path, pictures(PLAIN))
    names = [name for name, _ in ROWS] + ["gone.png", "../x.png"]
    labels = [label for _, label in ROWS] + ["ants", "ants"]
    place = parquet_of(
        tmp_path / "labels.parquet",
        {
            "image": embedded((None, name) for name in names) if embed else names,
            "label": labels,
            "split": ["train"] * 9 + ["test"],
            "group": list(range(10)),
        },
    )
    for where in (place, tmp_path):
        assert FORMAT.found(at(where))
        with FORMAT.read(at(where)) as raw:
            assert facts(raw) == ROWS
            assert (raw.samples[7].split, raw.samples[7].group) == ("train", "7")
            assert content(raw.samples[3]) == pictures(PLAIN)[PLAIN[3]]
            assert set(faults(raw)) == {"gone.png", "../x.png"}
    assert FORMAT.names is not None
    assert FORMAT.names(at(place)) == [str(tmp_path / name) for name in PLAIN]
    assert FORMAT.names(at(tmp_path)) == []


def test_images_in_rows_name_nothing(tmp_path: Path) -> None:
    hugging_face(tmp_path / "train.parquet", pictures(PLAIN))
    assert FORMAT.names is not None
    assert FORMAT.names(at(tmp_path)) == FORMAT.names(at(tmp_path / "train.parquet")) == []


def test_a_column_of_images_goes_before_one_of_paths(tmp_path: Path) -> None:
    images = pictures(PLAIN)
    place = parquet_of(
        tmp_path / "a.parquet",
        {
            "path": PLAIN,
            "label": [label for _, label in ROWS],
            "photo": embedded((each, None) for each in images.values()),
        },
    )
    with FORMAT.read(at(place)) as raw:
        assert content(raw.samples[5]) == images[PLAIN[5]]


def test_row_groups_are_read_once_in_order_and_again_when_they_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures([f"{'ab'[number % 2]}/{number}.png" for number in range(60)])
    place = hugging_face(tmp_path / "a.parquet", images, ["a", "b"], group=5)
    read: list[int] = []
    plain = parquet_images.Images._spooled
    monkeypatch.setattr(parquet_images, "KEPT_BYTES", 1)
    monkeypatch.setattr(
        parquet_images.Images,
        "_spooled",
        lambda self, source, number: (read.append(number), plain(self, source, number))[1],
    )
    with FORMAT.read(at(place)) as raw, ThreadPoolExecutor(4) as pool:
        assert [content(sample) for sample in raw.samples] == list(images.values())
        assert read == list(range(12))
        assert list(pool.map(content, raw.samples)) == list(images.values())


def test_hymenoptera_by_parquet_is_hymenoptera_by_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with ARCHIVE.read(at(shared_data / "hymenoptera.zip")) as folders:
        for split in ("train", "val"):
            images = {sample.key: content(sample) for sample in folders.samples if sample.split == split}
            hugging_face(tmp_path / f"data/{split}-00000-of-00001.parquet", images, group=100)
        with FORMAT.read(at(tmp_path)) as raw:
            assert raw.classes == folders.classes
            assert raw.faults == []
            assert [
                (sample.key.rpartition("/")[2], sample.label, sample.split, content(sample)) for sample in raw.samples
            ] == [
                (sample.key.rpartition("/")[2], sample.label, sample.split, content(sample))
                for sample in folders.samples
            ]
