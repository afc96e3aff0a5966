"""Tables whose labels are numbers or several names."""

from pathlib import Path
from typing import Any

import pytest

from graftline.data.formats import FORMATS, select_format
from graftline.data.formats.checks import check_dataset, select_classes
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder
from tests.builders.reading import dropped_reasons, locate
from tests.builders.tables import embed_images, format_csv, format_jsonl, write_parquet, write_table


def read_checked(path: Path, task: str, **columns: Any) -> RawDataset:
    location = locate(path, task, **columns)
    with select_format("auto", location).open(location) as raw:
        check_dataset(raw, str(path), needs_labels=True, task=task)
        return raw


def labels(raw: RawDataset) -> list[str]:
    return [sample.label for sample in raw.samples]


def table(folder: Path, rows: list[tuple[object, ...]], *header: str) -> Path:
    return write_table(
        folder, format_csv([(name, *row) for name, row in zip(CLASS_FILES, rows, strict=False)], ("path", *header))
    )


def test_numbers_of_one_column_are_read(tmp_path: Path) -> None:
    raw = read_checked(table(tmp_path, [("1.5",), (" -2e3",), ("7",)], "label"), "regression")
    assert (raw.task, raw.classes, labels(raw)) == ("regression", ["label"], ["[1.5]", "[-2000.0]", "[7.0]"])


def test_numbers_of_several_columns_keep_the_requested_order(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 2), (3, 4)], "x", "y")
    raw = read_checked(path, "regression", labels=["y", "x"])
    assert (raw.classes, labels(raw)) == (["y", "x"], ["[2.0,1.0]", "[4.0,3.0]"])


def test_csv_json_lines_and_parquet_give_equal_labels(tmp_path: Path) -> None:
    rows = [{"path": name, "x": number / 4, "y": number} for number, name in enumerate(CLASS_FILES)]
    lines = read_checked(
        write_table(tmp_path / "a", format_jsonl(rows), "labels.jsonl"), "regression", labels=["x", "y"]
    )
    table = read_checked(
        write_table(tmp_path / "b", format_csv([row.values() for row in rows], rows[0])),
        "regression",
        labels=["x", "y"],
    )
    write_folder(tmp_path / "c", make_images(CLASS_FILES))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    parquet = read_checked(write_parquet(tmp_path / "c" / "labels.parquet", columns), "regression", labels=["x", "y"])
    assert labels(lines) == labels(table) == labels(parquet)
    assert labels(lines)[1] == "[0.25,1.0]"


def test_numbers_next_to_embedded_images_are_read(tmp_path: Path) -> None:
    import pyarrow as pa

    images = make_images(CLASS_FILES)
    path = write_parquet(
        tmp_path / "a.parquet",
        {
            "image": embed_images((image, name) for name, image in images.items()),
            "label": pa.array([0.1 * n for n in range(len(images))], pa.float32()),
        },
    )
    assert labels(read_checked(path, "regression"))[:3] == ["[0.0]", "[0.1]", "[0.2]"]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "its 'age' is empty, expected a finite number"),
        ("nan", "its 'age' is 'nan', expected a finite number"),
        ("-inf", "its 'age' is '-inf', expected a finite number"),
        ("old", "its 'age' is 'old', expected a finite number"),
        ("1_000", "its 'age' is '1_000', expected a finite number"),
        ("1,5", "its 'age' is '1,5', expected a finite number"),
        ("1e39", "its 'age' is '1e39', too large for 32 bits; use a larger unit"),
    ],
)
def test_rows_without_a_finite_number_are_dropped(tmp_path: Path, value: str, why: str) -> None:
    raw = read_checked(table(tmp_path, [("1",), (value,), ("3",)], "age"), "regression", label="age")
    assert labels(raw) == ["[1.0]", "[3.0]"]
    assert dropped_reasons(raw) == {CLASS_FILES[1]: f"{why} (labels.csv, line 3)"}


@pytest.mark.parametrize("value", [True, None, [1.0], {"a": 1}])
def test_json_values_that_are_not_numbers_are_dropped(tmp_path: Path, value: object) -> None:
    rows = [{"path": name, "label": number} for number, name in enumerate(CLASS_FILES[:2])]
    raw = read_checked(
        write_table(tmp_path, format_jsonl([*rows, {"path": CLASS_FILES[2], "label": value}]), "a.jsonl"), "regression"
    )
    assert "expected a finite number" in dropped_reasons(raw)[CLASS_FILES[2]]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["cat|dog", "dog", "cat | dog"], ['["cat","dog"]', '["dog"]', '["cat","dog"]']),
        (["cat;dog;", "dog", "cat;dog"], ['["cat","dog"]', '["dog"]', '["cat","dog"]']),
        (['["cat", "dog"]', '["dog"]', "[]", '["cat"]'], ['["cat","dog"]', '["dog"]', "[]", '["cat"]']),
    ],
)
def test_names_separated_in_one_column_are_read(tmp_path: Path, texts: list[str], expected: list[str]) -> None:
    raw = read_checked(table(tmp_path, [(text,) for text in texts], "label"), "multilabel")
    assert (raw.task, raw.classes, labels(raw)) == ("multilabel", ["cat", "dog"], expected)


def test_lists_of_names_are_read_from_json_lines_and_parquet(tmp_path: Path) -> None:
    held = [["cat", "dog"], [], ["dog"], ["cat"]]
    rows = [{"path": name, "label": names} for name, names in zip(CLASS_FILES, held, strict=False)]
    lines = read_checked(write_table(tmp_path, format_jsonl(rows), "a.jsonl"), "multilabel")
    (tmp_path / "a.jsonl").unlink()
    path = write_parquet(tmp_path / "a.parquet", {"path": CLASS_FILES[:4], "label": held})
    assert labels(lines) == labels(read_checked(path, "multilabel")) == ['["cat","dog"]', "[]", '["dog"]', '["cat"]']


def test_multilabel_columns_of_0_and_1_are_read(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 0), ("true", "TRUE"), ("0.0", 1), ("false", "1.0")], "wet", "dry")
    raw = read_checked(path, "multilabel", labels=["wet", "dry"])
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
def test_values_other_than_0_and_1_are_dropped(tmp_path: Path, value: str, why: str) -> None:
    rows = [(1, 0), (1, 1), (0, 1), (value, 1)]
    raw = read_checked(table(tmp_path, rows, "wet", "dry"), "multilabel", labels=["wet", "dry"])
    assert dropped_reasons(raw)[CLASS_FILES[3]].startswith(why)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "its 'label' is empty, expected names separated by | or ;, or a JSON list of names ([] for no label)"),
        ('["a"', "expected names separated by"),
        ('["a\\u0007"]', "contains 'a\\x07', which has a line break"),
        ("[1.5]", "contains 1.5, which is empty"),
    ],
)
def test_invalid_lists_of_names_are_dropped(tmp_path: Path, value: str, why: str) -> None:
    rows = [("cat|dog",), ("dog",), ("cat",), (value,)]
    assert why in dropped_reasons(read_checked(table(tmp_path, rows, "label"), "multilabel"))[CLASS_FILES[3]]


def test_a_missing_label_column_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, [(1, 2), (3, 4)], "x", "y")
    with pytest.raises(
        RefusedError, match=r"no column 'z', which columns.labels requests; the columns are 'path', 'x', 'y'"
    ):
        read_checked(path, "regression", labels=["x", "z"])


@pytest.mark.parametrize(
    ("rows", "task", "why"),
    [
        ([("2",)] * 4, "regression", r"all 4 images have the same label \[2.0\]"),
        ([("cat",), ("cat",)], "multilabel", "found the labels \\['cat'\\]; multilabel needs at least two"),
        ([("cat|dog",), ("cat",)], "multilabel", "fewer than two images have the label 'dog'"),
    ],
)
def test_labels_without_variation_are_refused(tmp_path: Path, rows: list[tuple[str]], task: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        read_checked(table(tmp_path, rows, "label"), task)


@pytest.mark.parametrize(
    ("task", "formats"), [("regression", "parquet, table"), ("multilabel", "coco, parquet, table")]
)
def test_classes_are_refused_for_another_task(tmp_path: Path, task: str, formats: str) -> None:
    location = locate(write_folder(tmp_path, make_images(CLASS_FILES)))
    message = rf"classes \(one per image\), but task is {task}; .* holds {task} labels \({formats}\), or set"
    with FORMATS["image_folder"].open(location) as raw, pytest.raises(RefusedError, match=message):
        check_dataset(raw, "pets", needs_labels=True, task=task)


def test_selecting_labels_keeps_all_images(tmp_path: Path) -> None:
    rows = [("a|b",), ("b|c",), ("c",), ("a|c",)]
    raw = select_classes(read_checked(table(tmp_path, rows, "label"), "multilabel"), "pets", ["c", "a"])
    assert raw.classes == ["c", "a"]
    assert labels(raw) == ['["a"]', '["c"]', '["c"]', '["a","c"]']
