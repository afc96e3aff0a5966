"""Contract of every format. A new record in `FORMATS` needs an entry in `EXAMPLES`; then every test covers it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graftline.data.dataset import SPLIT_NAMES
from graftline.data.formats import FORMATS, get_format, may_reference_files, select_format
from graftline.data.images.decode import decode_image
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import (
    CLASS_FILES,
    make_cifar10_pickles,
    make_images,
    make_mnist,
    write_folder,
    write_tar,
    write_zip,
)
from tests.builders.raw_records import write_coco_folder, write_shards
from tests.builders.reading import locate
from tests.builders.tables import CLASS_ROWS, format_csv, write_hugging_face, write_table

EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "digits": lambda _: Path("builtin:digits/scanned"),
    "cifar": lambda path: write_tar(path / "cifar.tar.gz", make_cifar10_pickles()),
    "idx": lambda path: write_folder(path / "mnist", make_mnist()),
    "coco": lambda path: write_coco_folder(path / "coco"),
    "webdataset": lambda path: write_shards(path / "shards"),
    "parquet": lambda path: write_hugging_face(path / "hf.parquet", make_images(CLASS_FILES)),
    "table": lambda path: write_table(path / "pets", format_csv(CLASS_ROWS)),
    "archive": lambda path: write_zip(path / "pets.zip", make_images(CLASS_FILES)),
    "image_folder": lambda path: write_folder(path / "pets", make_images(CLASS_FILES)),
    "unlabeled": lambda path: write_folder(path / "bare", make_images(["1.png", "2.png"])),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_detected_and_read(name: str, tmp_path: Path) -> None:
    location = locate(EXAMPLES[name](tmp_path))
    known = FORMATS[name]
    assert select_format("auto" if known.is_labeled else name, location) is known
    with known.open(location) as raw:
        assert len(set(raw.classes)) == len(raw.classes)
        assert (len(raw.classes) >= 2) == known.is_labeled
        assert {sample.label for sample in raw.samples} == set(raw.classes or [""])
        assert {sample.split for sample in raw.samples} <= {*SPLIT_NAMES, None}
        assert len({sample.key for sample in raw.samples}) == len(raw.samples)
        assert raw.task in known.tasks
        first = [decode_image(sample.load(), (3, 8, 8)) for sample in raw.samples[:5]]
        again = [decode_image(sample.load(), (3, 8, 8)) for sample in raw.samples[:5]]
        assert np.array_equal(first, again)


@pytest.mark.parametrize("name", FORMATS)
def test_missing_data_and_plain_text_are_not_detected(name: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "missing", tmp_path / "text"):
        assert not FORMATS[name].detect(locate(path))


@pytest.mark.parametrize("name", FORMATS)
def test_every_record_is_consistent(name: str, tmp_path: Path) -> None:
    known = FORMATS[name]
    assert known.name == name
    assert known.summary
    assert [get_format(alias) for alias in (name, *known.aliases)] == [known] * (1 + len(known.aliases))
    assert bool(known.reference_suffixes) == (known.list_external_files is not None)
    assert may_reference_files(name, []) == (known.list_external_files is not None)
    if known.list_external_files is not None:
        assert all(Path(file).is_file() for file in known.list_external_files(locate(EXAMPLES[name](tmp_path))))


def test_the_format_is_detected_by_content_not_by_name(tmp_path: Path) -> None:
    location = locate(write_zip(tmp_path / "pets.tar", make_images(CLASS_FILES)))
    assert select_format("auto", location).name == "archive"


def test_unknown_content_is_refused_with_the_known_formats(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello there, this is no data")
    message = r"notes\.txt: not in a known format; the file starts with b'hello.*idx \(the files of MNIST"
    with pytest.raises(RefusedError, match=message):
        select_format("auto", locate(tmp_path / "notes.txt"))


def test_an_unknown_format_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="unknown format 'jpegs'; use one of auto, digits, cifar, idx"):
        select_format("jpegs", locate(tmp_path))
