import os
from pathlib import Path

import pytest

from graftline.data.formats.checks import check, keep
from graftline.data.formats.image_folder import FORMAT
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, SPLIT, at, folder_of, pictures


def read(place: Path) -> RawDataset:
    with FORMAT.read(at(place)) as raw:
        return raw


def test_classes_are_folders(tmp_path: Path) -> None:
    raw = read(folder_of(tmp_path, pictures(PLAIN)))
    assert raw.classes == ["ants", "bees"]
    assert {(sample.key, sample.label, sample.split) for sample in raw.samples} == {
        (name, name.split("/")[0], None) for name in PLAIN
    }


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_split_folders_by_their_usual_names(tmp_path: Path, name: str) -> None:
    raw = read(folder_of(tmp_path, pictures([path.replace("val/", f"{name}/") for path in SPLIT])))
    assert raw.classes == ["ants", "bees"]
    assert {sample.split for sample in raw.samples} == {"train", "val", "test"}


def test_a_folder_around_everything_and_junk_are_passed_over(tmp_path: Path) -> None:
    names = [f"set/data/{name}" for name in SPLIT]
    junk = {
        "__MACOSX/set/._1.png": b"x",
        "set/.DS_Store": b"x",
        "set/data/train/ants/Thumbs.db": b"x",
        "set/data/train/.ipynb_checkpoints/1.png": b"x",
        "set/README.txt": b"words",
    }
    raw = read(folder_of(tmp_path, {**pictures(names), **junk}))
    assert raw.classes == ["ants", "bees"]
    assert len(raw.samples) == len(names)
    assert raw.faults == []


def test_a_lone_train_among_vehicles_is_a_class(tmp_path: Path) -> None:
    raw = read(folder_of(tmp_path, pictures(["bus/1.png", "bus/2.png", "train/1.png", "train/2.png"])))
    assert raw.classes == ["bus", "train"]


def test_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    raw = read(folder_of(tmp_path, pictures(["ants/a/1.png", "ants/b/1.png", "bees/2.png", "bees/3.png"])))
    assert [sample.label for sample in raw.samples].count("ants") == 2


def test_images_in_no_class_folder_are_named(tmp_path: Path) -> None:
    raw = read(folder_of(tmp_path, pictures([*PLAIN, "stray.jpg"])))
    assert [(fault.file, fault.why) for fault in raw.faults] == [("stray.jpg", "in no class folder")]


def test_links_out_and_pipes_become_no_samples(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "pets", pictures(PLAIN))
    (tmp_path / "secret.png").write_bytes(b"x")
    (place / "ants" / "out.png").symlink_to(tmp_path / "secret.png")
    (place / "ants" / "gone.png").symlink_to("nothing.png")
    (place / "ants" / "in.png").symlink_to(place / "ants" / "0.png")
    (place / "fox").symlink_to(tmp_path)
    os.mkfifo(place / "bees" / "pipe.png")
    raw = read(place)
    assert {fault.file: fault.why for fault in raw.faults} == {
        "ants/out.png": "a link out of the folder",
        "ants/gone.png": "a link to nothing",
        "bees/pipe.png": "not a regular file",
        "fox": "a link to a folder, which is not followed",
    }
    assert "ants/in.png" in {sample.key for sample in raw.samples}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.png", "2.png"],
            r"no class folders with images found among 2 files \(such as '1.png'\); expected "
            "CLASS/IMAGE or train/CLASS/IMAGE; if there are no labels, set format: unlabelled$",
        ),
        (["train/1.png", "test/2.png"], "no class folders"),
        (["train/a/1.png", "test/a/2.png", "extra/a/3.png"], r"\['test', 'train'\] look like splits, \['extra'\]"),
        (["train/a/1.png", "val/a/2.png", "valid/a/3.png"], r"\['train', 'val', 'valid'\] name one split twice"),
    ],
)
def test_trees_without_a_sense_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(folder_of(tmp_path, pictures(names)))


def refused(tmp_path: Path, names: list[str], message: str, classes: list[str] | None = None) -> None:
    raw = read(folder_of(tmp_path, pictures(names)))
    with pytest.raises(RefusedError, match=message):
        check(keep(raw, "pets", classes), "pets", labelled=True)


def test_one_class_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, ["ants/1.png", "ants/2.png"], r"found the classes \['ants'\]; classification needs at least")


def test_an_empty_class_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "wasps").mkdir()
    refused(tmp_path, PLAIN, r"no image in class 'wasps'; fill it, remove its folder, or name the others")


def test_a_class_of_one_image_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, [*PLAIN, "wasps/1.png"], "one image only in class 'wasps'; training and test need at least two")


def test_different_classes_in_train_and_test_are_refused_with_both_lists(tmp_path: Path) -> None:
    names = [name for name in SPLIT if not name.startswith("test/bees")] + ["test/wasps/1.png"]
    refused(
        tmp_path,
        names,
        r"the classes of train and test differ: train has \['ants', 'bees'\], test has "
        r"\['ants', 'wasps'\]",
    )


def test_an_unknown_class_is_refused_with_those_there_are(tmp_path: Path) -> None:
    refused(tmp_path, PLAIN, r"classes: \['cats'\] are not there; there are \['ants', 'bees'\]", ["ants", "cats"])


def test_classes_are_kept_in_the_order_asked_for(tmp_path: Path) -> None:
    raw = keep(read(folder_of(tmp_path, pictures([*PLAIN, "wasps/1.png"]))), "pets", ["bees", "ants"])
    assert raw.classes == ["bees", "ants"]
    assert {sample.label for sample in raw.samples} == {"ants", "bees"}
