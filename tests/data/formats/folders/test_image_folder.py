import os
from functools import partial
from pathlib import Path

import pytest

from graftline.data.formats.checks import check_dataset, select_classes
from graftline.data.formats.folders.image_folder import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, SPLIT_FILES, make_images, write_folder
from tests.builders.reading import read_dataset

read = partial(read_dataset, FORMAT)


def test_classes_are_folders(tmp_path: Path) -> None:
    raw = read(write_folder(tmp_path, make_images(CLASS_FILES)))
    assert raw.classes == ["ants", "bees"]
    assert {(sample.key, sample.label, sample.split) for sample in raw.samples} == {
        (name, name.split("/")[0], None) for name in CLASS_FILES
    }


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_usual_names_of_split_folders_are_recognized(tmp_path: Path, name: str) -> None:
    raw = read(write_folder(tmp_path, make_images([path.replace("val/", f"{name}/") for path in SPLIT_FILES])))
    assert raw.classes == ["ants", "bees"]
    assert {sample.split for sample in raw.samples} == {"train", "val", "test"}


def test_wrapping_folders_and_junk_files_are_ignored(tmp_path: Path) -> None:
    names = [f"set/data/{name}" for name in SPLIT_FILES]
    junk = {
        "__MACOSX/set/._1.png": b"x",
        "set/.DS_Store": b"x",
        "set/data/train/ants/Thumbs.db": b"x",
        "set/data/train/.ipynb_checkpoints/1.png": b"x",
        "set/README.txt": b"words",
    }
    raw = read(write_folder(tmp_path, {**make_images(names), **junk}))
    assert raw.classes == ["ants", "bees"]
    assert len(raw.samples) == len(names)
    assert raw.dropped == []


def test_a_lone_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    raw = read(write_folder(tmp_path, make_images(["bus/1.png", "bus/2.png", "train/1.png", "train/2.png"])))
    assert raw.classes == ["bus", "train"]


def test_subfolders_belong_to_their_class_folder(tmp_path: Path) -> None:
    raw = read(write_folder(tmp_path, make_images(["ants/a/1.png", "ants/b/1.png", "bees/2.png", "bees/3.png"])))
    assert [sample.label for sample in raw.samples].count("ants") == 2


def test_images_outside_class_folders_are_dropped(tmp_path: Path) -> None:
    raw = read(write_folder(tmp_path, make_images([*CLASS_FILES, "stray.jpg"])))
    assert [(item.file, item.why) for item in raw.dropped] == [("stray.jpg", "not in a class folder")]


def test_links_outside_the_folder_and_pipes_are_dropped(tmp_path: Path) -> None:
    data_path = write_folder(tmp_path / "pets", make_images(CLASS_FILES))
    (tmp_path / "secret.png").write_bytes(b"x")
    (data_path / "ants" / "out.png").symlink_to(tmp_path / "secret.png")
    (data_path / "ants" / "gone.png").symlink_to("nothing.png")
    (data_path / "ants" / "in.png").symlink_to(data_path / "ants" / "0.png")
    (data_path / "fox").symlink_to(tmp_path)
    os.mkfifo(data_path / "bees" / "pipe.png")
    raw = read(data_path)
    assert {item.file: item.why for item in raw.dropped} == {
        "ants/out.png": "a link to a file outside the folder",
        "ants/gone.png": "a broken link",
        "bees/pipe.png": "not a regular file",
        "fox": "a link to a folder, which is not followed",
    }
    assert "ants/in.png" in {sample.key for sample in raw.samples}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.png", "2.png"],
            r"no class folders with images among 2 files \(such as '1.png'\); expected "
            "CLASS/IMAGE or train/CLASS/IMAGE. For data without labels, set format: unlabeled$",
        ),
        (["train/1.png", "test/2.png"], "no class folders"),
        (
            ["train/a/1.png", "test/a/2.png", "extra/a/3.png"],
            r"the folders \['test', 'train'\] are named like splits, but \['extra'\]",
        ),
        (
            ["train/a/1.png", "val/a/2.png", "valid/a/3.png"],
            r"two of the folders \['train', 'val', 'valid'\] are the same split",
        ),
    ],
)
def test_ambiguous_folder_trees_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(write_folder(tmp_path, make_images(names)))


def refused(tmp_path: Path, names: list[str], message: str, classes: list[str] | None = None) -> None:
    raw = read(write_folder(tmp_path, make_images(names)))
    with pytest.raises(RefusedError, match=message):
        check_dataset(select_classes(raw, "pets", classes), "pets", needs_labels=True)


def test_one_class_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, ["ants/1.png", "ants/2.png"], r"found the classes \['ants'\]; classification needs at least")


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "wasps").mkdir()
    refused(
        tmp_path,
        CLASS_FILES,
        r"no images in class 'wasps'; add images, remove the folder, or list only the other classes",
    )


def test_a_class_of_one_image_is_refused(tmp_path: Path) -> None:
    refused(
        tmp_path, [*CLASS_FILES, "wasps/1.png"], "only one image in class 'wasps'; training and test need at least two"
    )


def test_different_classes_in_train_and_test_are_refused_with_both_lists(tmp_path: Path) -> None:
    names = [name for name in SPLIT_FILES if not name.startswith("test/bees")] + ["test/wasps/1.png"]
    refused(
        tmp_path,
        names,
        r"train and test have different classes: train has \['ants', 'bees'\], test has "
        r"\['ants', 'wasps'\]",
    )


def test_an_unknown_class_is_refused_with_the_existing_ones(tmp_path: Path) -> None:
    refused(
        tmp_path, CLASS_FILES, r"classes: \['cats'\] do not exist; the data have \['ants', 'bees'\]", ["ants", "cats"]
    )


def test_classes_are_kept_in_the_requested_order(tmp_path: Path) -> None:
    raw = select_classes(
        read(write_folder(tmp_path, make_images([*CLASS_FILES, "wasps/1.png"]))), "pets", ["bees", "ants"]
    )
    assert raw.classes == ["bees", "ants"]
    assert {sample.label for sample in raw.samples} == {"ants", "bees"}
