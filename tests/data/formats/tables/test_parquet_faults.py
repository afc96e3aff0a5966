import builtins
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.data.formats.folders import image_folder
from graftline.data.formats.tables.parquet import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder
from tests.builders.reading import assert_refused, dropped_reasons, locate, read_bytes
from tests.builders.tables import embed_images, write_hugging_face, write_parquet

refused = partial(assert_refused, FORMAT)
pa = pytest.importorskip("pyarrow", reason="skipped: pyarrow is not installed")


def test_parquet_rows_without_image_or_label_are_dropped(tmp_path: Path) -> None:
    images = [(each, "a/../b") for each in make_images(CLASS_FILES).values()]
    images[2] = None, "x.png"
    data_path = write_parquet(
        tmp_path / "a.parquet",
        {"image": embed_images(images), "label": [0, 1, 0, -1, None, 7, 1, 0]},
        {"label": ["ants", "bees"]},
        group=2,
    )
    with FORMAT.open(locate(data_path)) as raw:
        assert dropped_reasons(raw) == {
            "a.parquet#3": "it has no label (a.parquet, row 3)",
            "a.parquet#4": "it has no label (a.parquet, row 4)",
            "a.parquet, row 5": "its label is 7, but the column declares 2 classes",
        }
        by_key = {sample.key: sample for sample in raw.samples}
        with pytest.raises(OSError, match="no image in this row"):
            by_key["a.parquet#2/x.png"].load()
        assert read_bytes(by_key["a.parquet#6"]) == images[6][0]


def test_labels_that_are_not_utf8_are_dropped(tmp_path: Path) -> None:
    labels = pa.array([b"ants", b"\xff\xfe", None, b"bees"] * 2, pa.binary()).view(pa.string())
    data_path = write_parquet(
        tmp_path / "a.parquet", {"image": list(make_images(CLASS_FILES).values()), "label": labels}
    )
    with FORMAT.open(locate(data_path)) as raw:
        assert raw.classes == ["ants", "bees"]
        assert dropped_reasons(raw)["a.parquet, row 1"] == "its label is not UTF-8; save the table as UTF-8"
        assert dropped_reasons(raw)["a.parquet#2"] == "it has no label (a.parquet, row 2)"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"], "kind": ["a"]}, r"a\.parquet: no label column; the columns are 'image', 'kind'"),
        ({"picture": ["x"], "label": ["a"]}, r"a\.parquet: no image column; the columns are 'picture', 'label'"),
        (
            {"image": [b"x"], "label": ["a"], "class": ["b"]},
            "'label', 'class' could all be the label; set columns.label",
        ),
        (
            {"image": [b"x"], "label": [["a"]]},
            "none of the 1 rows has a usable image and label: a.parquet, row 0: its label is a list, expected",
        ),
        ({"image": pa.array([], pa.binary()), "label": pa.array([], pa.string())}, "no rows below the header"),
    ],
)
def test_unusable_tables_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    refused(write_parquet(tmp_path / "a.parquet", columns), message)


def test_two_declared_class_columns_are_refused_unless_one_is_requested(tmp_path: Path) -> None:
    both = {"fine_label": ["ants", "bees"], "coarse_label": ["insects"]}
    data_path = write_parquet(
        tmp_path / "a.parquet",
        {"img": list(make_images(CLASS_FILES).values()), "fine_label": [0, 1] * 4, "coarse_label": [0] * 8},
        both,
    )
    refused(data_path, "'fine_label', 'coarse_label' could all be the label; set columns.label")
    with FORMAT.open(locate(data_path, label="fine_label")) as raw:
        assert raw.classes == ["ants", "bees"]


def test_a_missing_requested_column_is_refused(tmp_path: Path) -> None:
    refused(
        write_hugging_face(tmp_path / "a.parquet", make_images(CLASS_FILES)),
        "no column 'kind', which columns.label requests; the columns are 'image', 'label'",
        label="kind",
    )


@pytest.mark.parametrize("keep", [0, 3, 4, 8, 200, -1])
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, keep: int) -> None:
    data_path = write_hugging_face(tmp_path / "train-0.parquet", make_images(CLASS_FILES))
    write_hugging_face(tmp_path / "test-0.parquet", make_images(CLASS_FILES))
    data_path.write_bytes(data_path.read_bytes()[:keep])
    assert FORMAT.detect(locate(data_path)) == (keep not in (0, 3))
    if keep not in (0, 3):
        refused(data_path, r"train-0\.parquet: incomplete or damaged Parquet file \(.+\); write or download it again")
    refused(
        tmp_path,
        r"train-0\.parquet: incomplete or damaged Parquet file|train-0\.parquet does not start like a Parquet file",
    )


def test_a_git_lfs_pointer_is_refused_as_such(tmp_path: Path) -> None:
    write_hugging_face(tmp_path / "data/test-0.parquet", make_images(CLASS_FILES))
    write_folder(tmp_path, {"data/train-0.parquet": b"version https://git-lfs.github.com/spec/v1\n"})
    refused(tmp_path, r"data/train-0\.parquet does not start like a Parquet file; download it again.*Git LFS pointer")


def test_missing_pyarrow_is_refused_with_the_extra_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hugging_face(tmp_path / "train.parquet", make_images(CLASS_FILES))
    original_import = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for data_path in (tmp_path, tmp_path / "train.parquet"):
        assert FORMAT.detect(locate(data_path))
        refused(data_path, r"Parquet needs pyarrow; run pip install 'graftline\[parquet\]'")


def test_embedded_images_mixed_with_file_names_are_refused(tmp_path: Path) -> None:
    write_hugging_face(tmp_path / "train.parquet", make_images(CLASS_FILES))
    write_parquet(tmp_path / "test.parquet", {"path": ["train.parquet"], "label": ["ants"]})
    refused(tmp_path, "some Parquet files contain images and others name files; separate them")


def test_parquet_files_not_named_after_splits_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_hugging_face(tmp_path / f"{name}.parquet", make_images(CLASS_FILES))
    refused(tmp_path, r"'a\.parquet', 'b\.parquet' are tables of images, but 'a\.parquet' is not named after a split")


@pytest.mark.parametrize(
    "columns", [{"id": [1], "vector": [[0.5]]}, {"file": ["some.doc"], "label": ["a"]}, {"image": [b"x"], "size": [1]}]
)
def test_an_unrelated_parquet_file_does_not_make_a_folder_a_table(tmp_path: Path, columns: dict[str, Any]) -> None:
    write_parquet(write_folder(tmp_path, make_images(CLASS_FILES)) / "stray.parquet", columns)
    assert not FORMAT.detect(locate(tmp_path))
    with image_folder.FORMAT.open(locate(tmp_path)) as raw:
        assert raw.classes == ["ants", "bees"]
    refused(tmp_path, "none of 1 Parquet files has images and labels")


def test_a_decompression_bomb_is_refused_before_unpacking(tmp_path: Path) -> None:
    """One image that a dictionary gives to every row: 100 kB that unpack to 200 MB."""
    column = pa.array([np.random.default_rng(0).bytes(100_000)] * 2000, pa.binary())
    data_path = write_parquet(tmp_path / "a.parquet", {"image": column, "label": [0, 1] * 1000}, group=2000)
    assert data_path.stat().st_size < 300_000
    with (
        FORMAT.open(locate(data_path)) as raw,
        pytest.raises(RefusedError, match="unpack to more than 100 times as many"),
    ):
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
def test_invalid_feature_metadata_are_ignored(tmp_path: Path, about: bytes) -> None:
    import pyarrow.parquet as pq

    table = pa.table({"image": list(make_images(CLASS_FILES).values()), "label": [0, 1] * 4})
    pq.write_table(table.replace_schema_metadata({b"huggingface": about}), tmp_path / "a.parquet")
    with FORMAT.open(locate(tmp_path / "a.parquet")) as raw:
        assert raw.classes == ["0", "1"]


_CACHED: dict[str, bytes] = {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_flipped_bits_are_read_or_refused(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    if not _CACHED:
        _CACHED["file"] = write_hugging_face(tmp_path / "whole.parquet", make_images(CLASS_FILES)).read_bytes()
    damaged = bytearray(_CACHED["file"])
    for data_path, bits in flips:
        damaged[-1 - data_path % len(damaged)] ^= bits
    path = tmp_path / "flipped.parquet"
    path.write_bytes(damaged)
    with suppress(RefusedError), FORMAT.open(locate(path)) as raw:
        for sample in raw.samples:
            with suppress(OSError):
                sample.load()


def test_a_damaged_row_group_loses_only_rows_after_the_damage(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    images = list(make_images(CLASS_FILES * 5).values()) * 5
    table = pa.table({"image": pa.array(images, pa.binary()), "label": [0, 1] * (len(images) // 2)})
    data_path = tmp_path / "a.parquet"
    pq.write_table(
        table, data_path, row_group_size=20, use_dictionary=False, compression="gzip", write_page_checksum=True
    )
    group = pq.ParquetFile(data_path).metadata.row_group(1).column(0)
    damaged = bytearray(data_path.read_bytes())
    damaged[group.data_page_offset + group.total_compressed_size // 2] ^= 0xFF
    data_path.write_bytes(damaged)
    with FORMAT.open(locate(data_path)) as raw:
        bad = {}
        for number, sample in enumerate(raw.samples):
            try:
                assert read_bytes(sample) == images[number]
            except OSError as error:
                bad[number] = str(error)
    assert set(bad) <= set(range(20, 40))
    assert bad
    assert all("incomplete or damaged Parquet file" in reason for reason in bad.values())
