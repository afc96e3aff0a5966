"""Tables whose labels are numbers or several names."""

from pathlib import Path
from typing import Any

import pytest

from graftline.config import Columns, TaskName
from graftline.data.formats import FORMATS, choose
from graftline.data.formats.checks import check, keep
from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures
from tests.builders.tables import csv_of, embedded, faults, jsonl_of, parquet_of, table_in


def whole(path: Path, task: TaskName, **columns: Any) -> RawDataset:
    place = DataLocation(str(path), path, None, Columns(**columns), task=task)
    with choose("auto", place).read(place) as raw:
        check(raw, str(path), labelled=True, task=task)
        return raw


def labels(raw: RawDataset) -> list[str]:
    return [sample.label for sample in raw.samples]


def table(folder: Path, rows: list[tuple[object, ...]], *header: str) -> Path:
    return table_in(folder, csv_of([(name, *row) for name, row in zip(PLAIN, rows, strict=False)], ("path", *header)))


def test_numbers_of_one_column(tmp_path: Path) -> None:
    raw = whole(table(tmp_path, [("1.5",), (" -2e3",), ("7",)], "label"), "regression")
    assert (raw.task, raw.classes, labels(raw)) == ("regression", ["label"], ["[1.5]", "[-2000.0]", "[7.0]"])


def test_numbers_of_several_columns_in_the_order_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 2), (3, 4)], "x", "y")
    raw = whole(path, "regression", labels=["y", "x"])
    assert (raw.classes, labels(raw)) == (["y", "x"], ["[2.0,1.0]", "[4.0,3.0]"])


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    rows = [{"path": name, "x": number / 4, "y": number} for number, name in enumerate(PLAIN)]
    lines = whole(table_in(tmp_path / "a", jsonl_of(rows), "labels.jsonl"), "regression", labels=["x", "y"])
    table = whole(
        table_in(tmp_path / "b", csv_of([row.values() for row in rows], rows[0])), "regression", labels=["x", "y"]
    )
    folder_of(tmp_path / "c", pictures(PLAIN))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    parquet = whole(parquet_of(tmp_path / "c" / "labels.parquet", columns), "regression", labels=["x", "y"])
    assert labels(lines) == labels(table) == labels(parquet)
    assert labels(lines)[1] == "[0.25,1.0]"


def test_numbers_beside_images_in_parquet(tmp_path: Path) -> None:
    import pyarrow as pa

    found = pictures(PLAIN)
    path = parquet_of(
        tmp_path / "a.parquet",
        {
            "image": embedded((image, name) for name, image in found.items()),
            "label": pa.array([0.1 * n for n in range(len(found))], pa.float32()),
        },
    )
    assert labels(whole(path, "regression"))[:3] == ["[0.0]", "[0.1]", "[0.2]"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "its 'age' is empty, expected a finite number"),
        ("nan", "its 'age' is 'nan', expected a finite number"),
        ("-inf", "its 'age' is '-inf', expected a finite number"),
        ("old", "its 'age' is 'old', expected a finite number"),
        ("1_000", "its 'age' is '1_000', expected a finite number"),
        ("1,5", "its 'age' is '1,5', expected a finite number"),
        ("1e39", "its 'age' is '1e39', too large for 32 bits; give it in a larger unit"),
    ],
)
def test_what_is_no_number_is_that_rows_fault(tmp_path: Path, value: str, why: str) -> None:
    raw = whole(table(tmp_path, [("1",), (value,), ("3",)], "age"), "regression", label="age")
    assert labels(raw) == ["[1.0]", "[3.0]"]
    assert faults(raw) == {PLAIN[1]: f"{why} (labels.csv, line 3)"}


@pytest.mark.parametrize("value", [True, None, [1.0], {"a": 1}])
def test_json_values_that_are_no_numbers(tmp_path: Path, value: object) -> None:
    rows = [{"path": name, "label": number} for number, name in enumerate(PLAIN[:2])]
    raw = whole(table_in(tmp_path, jsonl_of([*rows, {"path": PLAIN[2], "label": value}]), "a.jsonl"), "regression")
    assert "expected a finite number" in faults(raw)[PLAIN[2]]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["cat|dog", "dog", "cat | dog"], ['["cat","dog"]', '["dog"]', '["cat","dog"]']),
        (["cat;dog;", "dog", "cat;dog"], ['["cat","dog"]', '["dog"]', '["cat","dog"]']),
        (['["cat", "dog"]', '["dog"]', "[]", '["cat"]'], ['["cat","dog"]', '["dog"]', "[]", '["cat"]']),
    ],
)
def test_names_in_one_column(tmp_path: Path, texts: list[str], expected: list[str]) -> None:
    raw = whole(table(tmp_path, [(text,) for text in texts], "label"), "multilabel")
    assert (raw.task, raw.classes, labels(raw)) == ("multilabel", ["cat", "dog"], expected)


def test_lists_in_json_lines_and_parquet(tmp_path: Path) -> None:
    held = [["cat", "dog"], [], ["dog"], ["cat"]]
    rows = [{"path": name, "label": names} for name, names in zip(PLAIN, held, strict=False)]
    lines = whole(table_in(tmp_path, jsonl_of(rows), "a.jsonl"), "multilabel")
    (tmp_path / "a.jsonl").unlink()
    path = parquet_of(tmp_path / "a.parquet", {"path": PLAIN[:4], "label": held})
    assert labels(lines) == labels(whole(path, "multilabel")) == ['["cat","dog"]', "[]", '["dog"]', '["cat"]']


def test_columns_of_0_and_1(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 0), ("true", "TRUE"), ("0.0", 1), ("false", "1.0")], "wet", "dry")
    raw = whole(path, "multilabel", labels=["wet", "dry"])
    assert raw.classes == ["wet", "dry"]
    assert labels(raw) == ['["wet"]', '["dry","wet"]', '["dry"]', '["dry"]']


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("2", "its 'wet' is '2', expected 0 or 1"),
        ("", "its 'wet' is empty, expected 0 or 1"),
        ("yes", "its 'wet' is 'yes', expected 0 or 1"),
    ],
)
def test_what_is_neither_0_nor_1(tmp_path: Path, value: str, why: str) -> None:
    rows = [(1, 0), (1, 1), (0, 1), (value, 1)]
    raw = whole(table(tmp_path, rows, "wet", "dry"), "multilabel", labels=["wet", "dry"])
    assert faults(raw)[PLAIN[3]].startswith(why)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "its 'label' is empty, expected names between | or ;, or a JSON list of them, [] where none holds"),
        ('["a"', "expected names between"),
        ('["a\\u0007"]', "names 'a\\x07', which has a line break"),
        ("[1.5]", "names 1.5, which is empty"),
    ],
)
def test_what_is_no_list_of_names(tmp_path: Path, value: str, why: str) -> None:
    rows = [("cat|dog",), ("dog",), ("cat",), (value,)]
    assert why in faults(whole(table(tmp_path, rows, "label"), "multilabel"))[PLAIN[3]]


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 2), (3, 4)], "x", "y")
    with pytest.raises(RefusedError, match=r"no column 'z', which columns.labels names; there are 'path', 'x', 'y'"):
        whole(path, "regression", labels=["x", "z"])


@pytest.mark.parametrize(
    ("rows", "task", "why"),
    [
        ([("2",)] * 4, "regression", r"all 4 images have the same label \[2.0\]"),
        ([("cat",), ("cat",)], "multilabel", "found the labels \\['cat'\\]; multilabel needs at least two"),
        ([("cat|dog",), ("cat",)], "multilabel", "fewer than two images have the label 'dog'"),
    ],
)
def test_what_nothing_can_be_learned_of(tmp_path: Path, rows: list[tuple[str]], task: TaskName, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        whole(table(tmp_path, rows, "label"), task)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_classes_are_refused_for_another_task(tmp_path: Path, task: TaskName) -> None:
    place = at(folder_of(tmp_path, pictures(PLAIN)))
    with (
        FORMATS["image_folder"].read(place) as raw,
        pytest.raises(RefusedError, match=f"hold classes, one an image, and the task is {task}; give a table"),
    ):
        check(raw, "pets", labelled=True, task=task)


def test_labels_that_are_kept_keep_their_images(tmp_path: Path) -> None:
    rows = [("a|b",), ("b|c",), ("c",), ("a|c",)]
    raw = keep(whole(table(tmp_path, rows, "label"), "multilabel"), "pets", ["c", "a"])
    assert raw.classes == ["c", "a"]
    assert labels(raw) == ['["a"]', '["c"]', '["c"]', '["a","c"]']
