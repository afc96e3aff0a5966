from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graftline.data.formats.folders.archive import FORMAT as ARCHIVE
from graftline.data.formats.tables import parquet_images
from graftline.data.formats.tables.parquet import FORMAT
from tests.builders.raw_data import CLASS_FILES, SPLIT_FILES, make_images, write_folder
from tests.builders.reading import dropped_reasons, keys_and_labels, locate, read_bytes
from tests.builders.tables import CLASS_ROWS, embed_images, write_hugging_face, write_parquet

pa = pytest.importorskip("pyarrow", reason="skipped: pyarrow is not installed")


@pytest.mark.parametrize("group", [1, 3, 100])
def test_embedded_images_of_huggingface_datasets_are_read(tmp_path: Path, group: int) -> None:
    images = make_images(CLASS_FILES)
    location = locate(write_hugging_face(tmp_path / "train.parquet", images, group=group))
    assert FORMAT.detect(location)
    with FORMAT.open(location) as raw:
        assert raw.classes == ["ants", "bees"]
        assert keys_and_labels(raw) == [
            (f"train.parquet#{row}/{name.split('/')[1]}", name.split("/")[0]) for row, name in enumerate(CLASS_FILES)
        ]
        for _ in range(2):
            assert [read_bytes(sample) for sample in reversed(raw.samples)] == list(images.values())[::-1]


def test_classes_keep_their_declared_order_and_unused_ones_are_noted(tmp_path: Path) -> None:
    data_path = write_hugging_face(tmp_path / "a.parquet", make_images(CLASS_FILES), ["wasps", "bees", "ants", "flies"])
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == ["bees", "ants"]
        assert raw.notes == ["2 of 4 declared classes have no rows"]


@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view", "struct"])
def test_images_of_every_byte_type_are_read(tmp_path: Path, kind: str) -> None:
    images = make_images(CLASS_FILES)
    column = (
        embed_images((each, None) for each in images.values())
        if kind == "struct"
        else pa.array(list(images.values()), getattr(pa, kind)())
    )
    data_path = write_parquet(tmp_path / "a.parquet", {"img": column, "y": [row % 2 for row in range(8)]})
    with FORMAT.open(locate(data_path)) as raw:
        assert [read_bytes(sample) for sample in raw.samples] == list(images.values())
        assert keys_and_labels(raw) == [(f"a.parquet#{row}", str(row % 2)) for row in range(8)]


def test_splits_are_read_from_file_names(tmp_path: Path) -> None:
    for folder in ("", "data/"):
        data_path = tmp_path / f"at{folder}"
        for name, split in {
            "train-00000-of-00002": "train",
            "train-00001-of-00002": "train",
            "validation-00000-of-00001": "val",
            "test-00000-of-00001": "test",
        }.items():
            names = [each.replace("train", name) for each in SPLIT_FILES if each.startswith(split)]
            write_hugging_face(
                data_path / folder / f"{name}.parquet", make_images(names or ["x/ants/1.png", "x/bees/2.png"])
            )
        assert FORMAT.detect(locate(data_path))
        with FORMAT.open(locate(data_path)) as raw:
            assert {(sample.key.split("#")[0], sample.split) for sample in raw.samples} == {
                (f"{folder}train-00000-of-00002.parquet", "train"),
                (f"{folder}train-00001-of-00002.parquet", "train"),
                (f"{folder}validation-00000-of-00001.parquet", "val"),
                (f"{folder}test-00000-of-00001.parquet", "test"),
            }


def test_splits_are_read_from_folder_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_hugging_face(tmp_path / split / "0000.parquet", make_images(CLASS_FILES))
    with FORMAT.open(locate(tmp_path)) as raw:
        assert [sample.split for sample in raw.samples] == ["test"] * 8 + ["train"] * 8


@pytest.mark.parametrize("embed", [True, False])
def test_parquet_rows_may_name_files(tmp_path: Path, embed: bool) -> None:
    """A column of paths, or one that `datasets` wrote without its files."""
    write_folder(tmp_path, make_images(CLASS_FILES))
    names = [name for name, _ in CLASS_ROWS] + ["gone.png", "../x.png"]
    labels = [label for _, label in CLASS_ROWS] + ["ants", "ants"]
    data_path = write_parquet(
        tmp_path / "labels.parquet",
        {
            "image": embed_images((None, name) for name in names) if embed else names,
            "label": labels,
            "split": ["train"] * 9 + ["test"],
            "group": list(range(10)),
        },
    )
    for where in (data_path, tmp_path):
        assert FORMAT.detect(locate(where))
        with FORMAT.open(locate(where)) as raw:
            assert keys_and_labels(raw) == CLASS_ROWS
            assert (raw.samples[7].split, raw.samples[7].group) == ("train", "7")
            assert read_bytes(raw.samples[3]) == make_images(CLASS_FILES)[CLASS_FILES[3]]
            assert set(dropped_reasons(raw)) == {"gone.png", "../x.png"}
    assert FORMAT.list_external_files is not None
    assert FORMAT.list_external_files(locate(data_path)) == [str(tmp_path / name) for name in CLASS_FILES]
    assert FORMAT.list_external_files(locate(tmp_path)) == []


def test_embedded_images_have_no_external_files(tmp_path: Path) -> None:
    write_hugging_face(tmp_path / "train.parquet", make_images(CLASS_FILES))
    assert FORMAT.list_external_files is not None
    assert (
        FORMAT.list_external_files(locate(tmp_path))
        == FORMAT.list_external_files(locate(tmp_path / "train.parquet"))
        == []
    )


def test_an_image_column_takes_precedence_over_a_path_column(tmp_path: Path) -> None:
    images = make_images(CLASS_FILES)
    data_path = write_parquet(
        tmp_path / "a.parquet",
        {
            "path": CLASS_FILES,
            "label": [label for _, label in CLASS_ROWS],
            "photo": embed_images((each, None) for each in images.values()),
        },
    )
    with FORMAT.open(locate(data_path)) as raw:
        assert read_bytes(raw.samples[5]) == images[CLASS_FILES[5]]


def test_row_groups_are_copied_once_in_order_and_again_after_being_discarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = make_images([f"{'ab'[number % 2]}/{number}.png" for number in range(60)])
    data_path = write_hugging_face(tmp_path / "a.parquet", images, ["a", "b"], group=5)
    read: list[int] = []
    plain = parquet_images.ParquetImages.copy_group
    monkeypatch.setattr(parquet_images, "MAX_KEPT_BYTES", 1)
    monkeypatch.setattr(
        parquet_images.ParquetImages,
        "copy_group",
        lambda self, source, number: (read.append(number), plain(self, source, number))[1],
    )
    with FORMAT.open(locate(data_path)) as raw, ThreadPoolExecutor(4) as pool:
        assert [read_bytes(sample) for sample in raw.samples] == list(images.values())
        assert read == list(range(12))
        assert list(pool.map(read_bytes, raw.samples)) == list(images.values())


def test_hymenoptera_as_parquet_equals_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with ARCHIVE.open(locate(shared_data / "hymenoptera.zip")) as folders:
        for split in ("train", "val"):
            images = {sample.key: read_bytes(sample) for sample in folders.samples if sample.split == split}
            write_hugging_face(tmp_path / f"data/{split}-00000-of-00001.parquet", images, group=100)
        with FORMAT.open(locate(tmp_path)) as raw:
            assert raw.classes == folders.classes
            assert raw.dropped == []
            assert [
                (sample.key.rpartition("/")[2], sample.label, sample.split, read_bytes(sample))
                for sample in raw.samples
            ] == [
                (sample.key.rpartition("/")[2], sample.label, sample.split, read_bytes(sample))
                for sample in folders.samples
            ]
