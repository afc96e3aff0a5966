from pathlib import Path
from typing import Any

import pytest

from graftline.data.formats import FORMATS, choose
from graftline.data.formats.location import data_location
from graftline.data.formats.naming.tree import SPLITS
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.unlabelled import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.fake_bucket import serving
from tests.builders.raw_data import PLAIN, SPLIT, at, folder_of, pictures, tar_of, zip_of

DEEP = ["1.png", "a/2.png", "a/b/c/3.JPEG", "train/4.webp"]


def read(place: Path) -> RawDataset:
    with FORMAT.read(at(place)) as raw:
        return raw


@pytest.mark.parametrize(
    ("pack", "name"), [(folder_of, "pets"), (zip_of, "pets.zip"), (tar_of, "pets.tar"), (tar_of, "pets.tar.gz")]
)
def test_takes_images_at_any_depth_and_no_labels(tmp_path: Path, pack: Any, name: str) -> None:
    files = pictures(DEEP)
    place = pack(
        tmp_path / name, {**files, "notes.txt": b"words", "a/labels.csv": b"", ".DS_Store": b"", "__MACOSX/1.png": b""}
    )
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == []
        assert {sample.label for sample in raw.samples} == {""}
        assert {sample.split for sample in raw.samples} == {None}
        assert {sample.key: sample.load().read() for sample in raw.samples} == files  # type: ignore[union-attr]
        assert raw.notes == ["2 files that are no images by their names were passed over"]
        assert raw.faults == []


@pytest.mark.parametrize("top", ["", "set/", "set/data/"])
@pytest.mark.parametrize(
    "names", [["train/1.png", "val/2.png", "test/3.png"], SPLIT, ["Valid/a/1.png", "train/b/c/2.png"]]
)
def test_folders_called_so_on_top_are_splits(tmp_path: Path, top: str, names: list[str]) -> None:
    raw = read(folder_of(tmp_path, pictures([top + name for name in names])))
    assert {(sample.key, sample.split) for sample in raw.samples} == {
        (top + name, SPLITS[name.split("/")[0].lower()]) for name in names
    }


def test_a_lone_image_beside_split_folders_is_a_fault(tmp_path: Path) -> None:
    raw = read(folder_of(tmp_path, pictures(["set/train/1.png", "set/test/2.png", "3.png"])))
    assert [(fault.file, fault.why) for fault in raw.faults] == [("3.png", "in no split folder")]


def test_split_folders_beside_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"\['test', 'train'\] look like splits, \['more'\] beside them do not"):
        read(folder_of(tmp_path, pictures(["train/1.png", "test/2.png", "more/3.png"])))


def test_links_out_become_no_samples(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "pets", pictures(DEEP))
    (tmp_path / "secret.png").write_bytes(b"x")
    (place / "a" / "out.png").symlink_to(tmp_path / "secret.png")
    raw = read(place)
    assert [(fault.file, fault.why) for fault in raw.faults] == [("a/out.png", "a link out of the folder")]
    assert len(raw.samples) == len(DEEP)


def test_a_place_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"no images found among 1 files; expected names that end in \.bmp, \.gif"):
        read(folder_of(tmp_path / "a", {"notes.txt": b"words"}))
    with pytest.raises(RefusedError, match="neither a folder nor a whole zip"):
        read(folder_of(tmp_path / "b", {"notes.txt": b"words"}) / "notes.txt")


@pytest.mark.parametrize("names", [DEEP, PLAIN, SPLIT, ["1.png"]])
def test_is_never_found_but_told_of(tmp_path: Path, names: list[str]) -> None:
    place = at(folder_of(tmp_path, pictures(names)))
    assert not FORMAT.found(place)
    assert choose("auto", place) is FORMATS["image_folder"]
    assert choose("auto", at(zip_of(tmp_path / "a.zip", pictures(names)))) is FORMATS["archive"]


@pytest.mark.parametrize(("pack", "known"), [(folder_of, "image_folder"), (zip_of, "archive"), (tar_of, "archive")])
def test_bare_images_are_refused_elsewhere_with_the_way_out(tmp_path: Path, pack: Any, known: str) -> None:
    place = at(pack(tmp_path / "a.tar", pictures(["1.png", "2.png"])))
    with (
        pytest.raises(RefusedError, match=r"if there are no labels, set format: unlabelled$"),
        FORMATS[known].read(place),
    ):
        pass


def test_in_a_bucket_only_what_is_asked_for_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        bucket.objects = {f"pets/{name}": content for name, content in pictures(DEEP).items()}
        place = data_location("gs://bucket/pets", tmp_path)
        with FORMAT.read(place) as raw:
            raw.fetch(raw.samples[:2])
            assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
            assert raw.samples[3].load().read() == pictures(DEEP)[raw.samples[3].key]  # type: ignore[union-attr]
