import builtins
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.data.formats import image_folder
from graftline.data.formats.parquet import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures
from tests.builders.tables import content, embedded, faults, hugging_face, parquet_of, placed

pa = pytest.importorskip("pyarrow", reason="skipped: pyarrow is not installed")


def refused(path: Path, message: str, /, **columns: str) -> None:
    with pytest.raises(RefusedError, match=message), FORMAT.read(placed(path, **columns)):
        pass


def test_rows_without_image_or_label_are_named(tmp_path: Path) -> None:
    images = [(each, "a/../b") for each in pictures(PLAIN).values()]
    images[2] = None, "x.png"
    place = parquet_of(
        tmp_path / "a.parquet",
        {"image": embedded(images), "label": [0, 1, 0, -1, None, 7, 1, 0]},
        {"label": ["ants", "bees"]},
        group=2,
    )
    with FORMAT.read(at(place)) as raw:
        assert faults(raw) == {
            "a.parquet#3": "it has no label (a.parquet, row 3)",
            "a.parquet#4": "it has no label (a.parquet, row 4)",
            "a.parquet, row 5": "its label 7 is none of 2 declared classes",
        }
        by_key = {sample.key: sample for sample in raw.samples}
        with pytest.raises(OSError, match="no image in this row"):
            by_key["a.parquet#2/x.png"].load()
        assert content(by_key["a.parquet#6"]) == images[6][0]


def test_labels_that_are_no_text(tmp_path: Path) -> None:
    labels = pa.array([b"ants", b"\xff\xfe", None, b"bees"] * 2, pa.binary()).view(pa.string())
    place = parquet_of(tmp_path / "a.parquet", {"image": list(pictures(PLAIN).values()), "label": labels})
    with FORMAT.read(at(place)) as raw:
        assert raw.classes == ["ants", "bees"]
        assert faults(raw)["a.parquet, row 1"] == "its label is not UTF-8; save the table as UTF-8"
        assert faults(raw)["a.parquet#2"] == "it has no label (a.parquet, row 2)"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"], "kind": ["a"]}, r"a\.parquet: no column of classes; there are 'image', 'kind'"),
        ({"picture": ["x"], "label": ["a"]}, r"a\.parquet: no column of images; there are 'picture', 'label'"),
        (
            {"image": [b"x"], "label": ["a"], "class": ["b"]},
            "'label', 'class' could each be the class; say which under",
        ),
        (
            {"image": [b"x"], "label": [["a"]]},
            "none of its 1 rows gives an image and a label: a.parquet, row 0: its label is a list; expected one value",
        ),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, "no row below the header"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    refused(parquet_of(tmp_path / "a.parquet", columns), message)


def test_two_columns_of_declared_classes_are_refused_until_one_is_named(tmp_path: Path) -> None:
    both = {"fine_label": ["ants", "bees"], "coarse_label": ["insects"]}
    place = parquet_of(
        tmp_path / "a.parquet",
        {"img": list(pictures(PLAIN).values()), "fine_label": [0, 1] * 4, "coarse_label": [0] * 8},
        both,
    )
    refused(place, "'fine_label', 'coarse_label' could each be the class; say which under columns.label")
    with FORMAT.read(placed(place, label="fine_label")) as raw:
        assert raw.classes == ["ants", "bees"]


def test_a_named_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    refused(
        hugging_face(tmp_path / "a.parquet", pictures(PLAIN)),
        "no column 'kind', which columns.label names; there are 'image', 'label'",
        label="kind",
    )


@pytest.mark.parametrize("keep", [0, 3, 4, 8, 200, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    place = hugging_face(tmp_path / "train-0.parquet", pictures(PLAIN))
    hugging_face(tmp_path / "test-0.parquet", pictures(PLAIN))
    place.write_bytes(place.read_bytes()[:keep])
    assert FORMAT.found(at(place)) == (keep not in (0, 3))
    if keep not in (0, 3):
        refused(place, r"train-0\.parquet: not a whole Parquet file \(.+\); write or download it again")
    refused(tmp_path, r"train-0\.parquet: not a whole Parquet file|train-0\.parquet does not begin as a Parquet file")


def test_a_pointer_of_git_lfs_is_called_so(tmp_path: Path) -> None:
    hugging_face(tmp_path / "data/test-0.parquet", pictures(PLAIN))
    folder_of(tmp_path, {"data/train-0.parquet": b"version https://git-lfs.github.com/spec/v1\n"})
    refused(tmp_path, r"data/train-0\.parquet does not begin as a Parquet file; download it again.*pointer of git-lfs")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hugging_face(tmp_path / "train.parquet", pictures(PLAIN))
    whole = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for place in (tmp_path, tmp_path / "train.parquet"):
        assert FORMAT.found(at(place))
        refused(place, r"Parquet needs pyarrow; pip install 'graftline\[parquet\]'")


def test_images_here_and_names_there_are_refused(tmp_path: Path) -> None:
    hugging_face(tmp_path / "train.parquet", pictures(PLAIN))
    parquet_of(tmp_path / "test.parquet", {"path": ["train.parquet"], "label": ["ants"]})
    refused(tmp_path, "some Parquet files hold images and some name files; give them apart")


def test_files_that_are_no_splits_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        hugging_face(tmp_path / f"{name}.parquet", pictures(PLAIN))
    refused(tmp_path, r"'a\.parquet', 'b\.parquet' are tables of images, and 'a\.parquet' is not called after a split")


@pytest.mark.parametrize(
    "columns", [{"id": [1], "vector": [[0.5]]}, {"file": ["some.doc"], "label": ["a"]}, {"image": [b"x"], "size": [1]}]
)
def test_a_stray_file_leaves_a_folder_of_images_to_itself(tmp_path: Path, columns: dict[str, Any]) -> None:
    parquet_of(folder_of(tmp_path, pictures(PLAIN)) / "stray.parquet", columns)
    assert not FORMAT.found(at(tmp_path))
    with image_folder.FORMAT.read(at(tmp_path)) as raw:
        assert raw.classes == ["ants", "bees"]
    refused(tmp_path, "no Parquet file with images and classes among its 1")


def test_a_bomb_is_refused_before_it_bursts(tmp_path: Path) -> None:
    """One image that a dictionary gives to every row: 100 kB that unpack to 200 MB."""
    column = pa.array([np.random.default_rng(0).bytes(100_000)] * 2000, pa.binary())
    place = parquet_of(tmp_path / "a.parquet", {"image": column, "label": [0, 1] * 1000}, group=2000)
    assert place.stat().st_size < 300_000
    with FORMAT.read(at(place)) as raw, pytest.raises(RefusedError, match="unpack to more than 100 times as much"):
        raw.samples[0].load()


@pytest.mark.parametrize(
    "about",
    [
        b"[]",
        b"{",
        b'{"info": 3}',
        b'{"info": {"features": {"label": {"names": 3}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "a"]}}}}',
        b"[" * 100_000,
    ],
)
def test_strange_features_are_passed_over(tmp_path: Path, about: bytes) -> None:
    import pyarrow.parquet as pq

    table = pa.table({"image": list(pictures(PLAIN).values()), "label": [0, 1] * 4})
    pq.write_table(table.replace_schema_metadata({b"huggingface": about}), tmp_path / "a.parquet")
    with FORMAT.read(at(tmp_path / "a.parquet")) as raw:
        assert raw.classes == ["0", "1"]


_WHOLE: dict[str, bytes] = {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_are_read_or_refused(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    if not _WHOLE:
        _WHOLE["file"] = hugging_face(tmp_path / "whole.parquet", pictures(PLAIN)).read_bytes()
    damaged = bytearray(_WHOLE["file"])
    for place, bits in flips:
        damaged[-1 - place % len(damaged)] ^= bits
    path = tmp_path / "flipped.parquet"
    path.write_bytes(damaged)
    with suppress(RefusedError), FORMAT.read(at(path)) as raw:
        for sample in raw.samples:
            with suppress(OSError):
                sample.load()


def test_a_group_is_damaged_from_its_damage_on_only(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    images = list(pictures(PLAIN * 5).values()) * 5
    table = pa.table({"image": pa.array(images, pa.binary()), "label": [0, 1] * (len(images) // 2)})
    place = tmp_path / "a.parquet"
    pq.write_table(table, place, row_group_size=20, use_dictionary=False, compression="gzip", write_page_checksum=True)
    group = pq.ParquetFile(place).metadata.row_group(1).column(0)
    whole = bytearray(place.read_bytes())
    whole[group.data_page_offset + group.total_compressed_size // 2] ^= 0xFF
    place.write_bytes(whole)
    with FORMAT.read(at(place)) as raw:
        bad = {}
        for number, sample in enumerate(raw.samples):
            try:
                assert content(sample) == images[number]
            except OSError as error:
                bad[number] = str(error)
    assert set(bad) <= set(range(20, 40))
    assert bad
    assert all("not a whole Parquet file" in said for said in bad.values())
