"""Every format keeps the same promises; a new line in the table is tested as soon as it has an example here."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graftline.data.dataset import SPLIT_NAMES
from graftline.data.formats import FORMATS, choose
from graftline.data.images.decode import pixels
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, cifar_python, folder_of, mnist, pictures, tar_of, zip_of
from tests.builders.raw_records import coco_folder, shards
from tests.builders.tables import csv_of, hugging_face, table_in

EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "digits": lambda _: Path("builtin:digits/scanned"),
    "cifar": lambda path: tar_of(path / "cifar.tar.gz", cifar_python()),
    "idx": lambda path: folder_of(path / "mnist", mnist()),
    "coco": lambda path: coco_folder(path / "coco"),
    "webdataset": lambda path: shards(path / "shards"),
    "parquet": lambda path: hugging_face(path / "hf.parquet", pictures(PLAIN)),
    "table": lambda path: table_in(path / "pets", csv_of([(name, name.split("/")[0]) for name in PLAIN])),
    "archive": lambda path: zip_of(path / "pets.zip", pictures(PLAIN)),
    "image_folder": lambda path: folder_of(path / "pets", pictures(PLAIN)),
    "unlabelled": lambda path: folder_of(path / "bare", pictures(["1.png", "2.png"])),
}
ASKED_FOR = {"unlabelled"}
"""Formats that are never found by themselves: all but labels look like them."""


@pytest.mark.parametrize("name", FORMATS)
def test_is_found_by_content_and_read(name: str, tmp_path: Path) -> None:
    place = EXAMPLES[name](tmp_path)
    known = choose(name if name in ASKED_FOR else "auto", at(place))
    assert known is FORMATS[name]
    assert known.name == name
    assert known.what
    with known.read(at(place)) as raw:
        assert len(set(raw.classes)) == len(raw.classes)
        assert (len(raw.classes) >= 2) == (name not in ASKED_FOR)
        assert {sample.label for sample in raw.samples} == set(raw.classes or [""])
        assert {sample.split for sample in raw.samples} <= {*SPLIT_NAMES, None}
        assert len({sample.key for sample in raw.samples}) == len(raw.samples)
        first = [pixels(sample.load(), (3, 8, 8)) for sample in raw.samples[:5]]
        again = [pixels(sample.load(), (3, 8, 8)) for sample in raw.samples[:5]]
        assert np.array_equal(first, again)


@pytest.mark.parametrize("name", FORMATS)
def test_finds_nothing_where_nothing_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for place in (tmp_path / "missing", tmp_path / "text"):
        assert not FORMATS[name].found(at(place))


def test_a_name_that_lies_is_seen_through(tmp_path: Path) -> None:
    assert choose("auto", at(zip_of(tmp_path / "pets.tar", pictures(PLAIN)))).name == "archive"


def test_unknown_content_is_refused_with_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello there, this is no data")
    with pytest.raises(
        RefusedError,
        match=r"notes\.txt: in none of the known formats, which begins with b'hello.*"
        r"idx \(MNIST",
    ):
        choose("auto", at(tmp_path / "notes.txt"))


def test_unknown_name_is_refused_with_the_names(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="'jpegs' is not known; there are auto, digits, cifar, idx"):
        choose("jpegs", at(tmp_path))
