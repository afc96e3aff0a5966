import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.data.formats.folders.archive import FORMAT as ARCHIVE
from graftline.data.formats.tables.table import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, make_images, write_folder
from tests.builders.reading import dropped_reasons, keys_and_labels, locate, read_bytes, read_dataset
from tests.builders.tables import CLASS_ROWS, format_csv, format_jsonl, write_table

read = partial(read_dataset, FORMAT)


def test_a_table_and_the_folder_that_holds_it_are_read_alike(tmp_path: Path) -> None:
    table = write_table(tmp_path, format_csv(CLASS_ROWS))
    for data_path in (table, tmp_path):
        assert FORMAT.detect(locate(data_path))
        raw = read(data_path)
        assert raw.classes == ["ants", "bees"]
        assert keys_and_labels(raw) == CLASS_ROWS
        assert {sample.split for sample in raw.samples} == {None}
        assert raw.dropped == []
        assert read_bytes(raw.samples[3]) == make_images(CLASS_FILES)[CLASS_FILES[3]]


def test_split_and_group_columns_are_recognized_by_usual_names(tmp_path: Path) -> None:
    rows = [
        (name, "ants", split, f"cow{number}")
        for number, (name, split) in enumerate(
            zip(CLASS_FILES, ["train", "TRAIN", "val", "dev", "Validation", "test", "testing", ""], strict=True)
        )
    ]
    raw = read(write_table(tmp_path, format_csv(rows, ["File Name", "Class", "Subset", "group_id"])))
    assert [sample.split for sample in raw.samples] == ["train", "train", "val", "val", "val", "test", "test", None]
    assert [sample.group for sample in raw.samples] == [f"cow{number}" for number in range(8)]


def test_json_lines_fields_may_first_occur_in_later_lines(tmp_path: Path) -> None:
    rows = [{"file_name": name, "label": label, "more": {"a": [1]}} for name, label in CLASS_ROWS]
    text = format_jsonl([*rows[:4], *({**row, "split": "test"} for row in rows[4:])]) + "\n"
    raw = read(write_table(tmp_path, text, "metadata.jsonl").parent)
    assert keys_and_labels(raw) == CLASS_ROWS
    assert [sample.split for sample in raw.samples] == [None] * 4 + ["test"] * 4


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\r\n"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_boms_and_line_ends_are_detected(tmp_path: Path, separator: str, start: str, ending: str) -> None:
    rows = [(name, f"a{separator}b", f"a, b; {label}|") for name, label in CLASS_ROWS]
    text = start + format_csv(rows, ["path", "caption", "label"], delimiter=separator, lineterminator=ending)
    assert keys_and_labels(read(write_table(tmp_path, text))) == [(name, label) for name, _, label in rows]


def test_spaces_after_separators_are_skipped(tmp_path: Path) -> None:
    text = 'path, "label", split\n' + "".join(f'{name}, "{label}", train\n' for name, label in CLASS_ROWS)
    raw = read(write_table(tmp_path, text))
    assert keys_and_labels(raw) == CLASS_ROWS
    assert raw.samples[0].split == "train"


def test_a_quoted_newline_stays_in_its_row_and_counts_as_a_line(tmp_path: Path) -> None:
    rows = [("ants/0.png", 'an ant,\non its "hill"', "ants"), ("ants/1.png", "", "bees"), ("gone.png", "\n", "bees")]
    raw = read(write_table(tmp_path, format_csv(rows, ["path", "caption", "label"])))
    assert keys_and_labels(raw) == [("ants/0.png", "ants"), ("ants/1.png", "bees")]
    assert dropped_reasons(raw) == {"gone.png": "no such file (labels.csv, line 5)"}


def test_integer_classes_are_sorted_numerically(tmp_path: Path) -> None:
    rows = list(zip(CLASS_FILES, [10, 2, 1, -1, 10, 2, 1, 0], strict=True))
    for text, name in ((format_csv(rows), "a.csv"), (format_jsonl([{"path": p, "y": y} for p, y in rows]), "b.jsonl")):
        raw = read(write_table(tmp_path, text, name))
        assert raw.classes == ["-1", "0", "1", "2", "10"]
    raw = read(write_table(tmp_path, format_csv([*rows[:7], (CLASS_FILES[7], "x")])))
    assert raw.classes == ["-1", "1", "10", "2", "x"]


def test_json_labels_are_converted_to_text(tmp_path: Path) -> None:
    values = [True, False, 1.5, 3, "x", None, float("nan"), [1]]
    raw = read(
        write_table(
            tmp_path,
            format_jsonl([{"path": p, "label": v} for p, v in zip(CLASS_FILES, values, strict=True)]),
            "a.jsonl",
        )
    )
    assert [label for _, label in keys_and_labels(raw)] == ["true", "false", "1.5", "3", "x"]
    assert dropped_reasons(raw) == {
        "bees/1.png": "it has no label (a.jsonl, line 6)",
        "bees/2.png": "it has no label (a.jsonl, line 7)",
        "a.jsonl, line 8": "its label is a list, expected a single value",
    }


def test_tables_named_after_splits_give_the_splits(tmp_path: Path) -> None:
    for number, name in enumerate(["train.csv", "valid_labels.csv", "test.tsv"]):
        write_table(tmp_path, format_csv(CLASS_ROWS[number::3], delimiter="\t" if name.endswith("tsv") else ","), name)
    raw = read(tmp_path)
    assert {sample.key: sample.split for sample in raw.samples} == {
        name: ("train", "val", "test")[number % 3] for number, (name, _) in enumerate(CLASS_ROWS)
    }


def test_file_names_are_relative_to_the_tables_split_folder(tmp_path: Path) -> None:
    for split in ("train", "test"):
        names = [f"{split}/{number}.png" for number in range(4)]
        rows = [{"file_name": f"{number}.png", "label": "ab"[number % 2]} for number in range(4)]
        write_table(tmp_path, format_jsonl(rows), f"{split}/metadata.jsonl", names)
    raw = read(tmp_path)
    assert [(sample.key, sample.split) for sample in raw.samples] == [
        (f"{split}/{number}.png", split) for split in ("test", "train") for number in range(4)
    ]


def test_a_single_table_named_train_gives_no_split(tmp_path: Path) -> None:
    write_table(tmp_path, format_csv(CLASS_ROWS), "train.csv")
    for data_path in (tmp_path, tmp_path / "train.csv"):
        assert {sample.split for sample in read(data_path).samples} == {None}


def test_requested_columns_take_precedence_over_usual_ones(tmp_path: Path) -> None:
    rows = [("x", name, "1", label, "train", "b1") for name, label in CLASS_ROWS]
    table = write_table(tmp_path, format_csv(rows, ["path", "where", "label", "species", "split", "barn"]))
    raw = read(table, path="where", label="species", group="barn")
    assert keys_and_labels(raw) == CLASS_ROWS
    assert {(sample.split, sample.group) for sample in raw.samples} == {("train", "b1")}


def test_equivalent_paths_are_one_file(tmp_path: Path) -> None:
    raw = read(write_table(tmp_path, format_csv([*CLASS_ROWS, ("./ants/0.png", "ants"), ("ants//1.png", "ants")])))
    assert keys_and_labels(raw) == CLASS_ROWS
    assert raw.notes == ["2 rows repeat an earlier row; each file is used once"]


@pytest.mark.parametrize(
    ("header", "more", "why"),
    [
        (["path", "label"], ("bees",), "two rows give it the labels 'ants' and 'bees'; keep the correct row"),
        (
            ["path", "label", "split"],
            ("ants", "test"),
            "two rows give it the splits 'train' and 'test'; keep the correct",
        ),
        (
            ["path", "label", "group"],
            ("ants", "g2"),
            "two rows give it the groups 'train' and 'g2'; keep the correct row",
        ),
    ],
)
def test_a_file_with_contradictory_rows_is_dropped(
    tmp_path: Path, header: list[str], more: tuple[str, ...], why: str
) -> None:
    rows: list[Sequence[str]] = [(*row, "train")[: len(header)] for row in CLASS_ROWS]
    raw = read(write_table(tmp_path, format_csv([*rows, ("ants/0.png", *more)], header)))
    assert keys_and_labels(raw) == CLASS_ROWS[1:]
    assert dropped_reasons(raw)["ants/0.png"].startswith(why)
    assert raw.notes == []


_LABEL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256).filter(str.strip)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_ROWS = st.lists(st.tuples(st.sampled_from(CLASS_FILES), _TEXT, _LABEL), min_size=1, unique_by=lambda row: row[0])


@settings(max_examples=150, deadline=None)
@given(rows=_ROWS, separator=st.sampled_from(",;\t|"), quoting=st.sampled_from([0, 1]))
def test_any_text_that_csv_writes_reads_back(
    tmp_path_factory: Any, rows: list[tuple[str, str, str]], separator: str, quoting: int
) -> None:
    path = _shared(tmp_path_factory) / "any.csv"
    path.write_bytes(format_csv(rows, ["path", "caption", "label"], delimiter=separator, quoting=quoting).encode())
    assert keys_and_labels(read(path)) == [(name, label) for name, _, label in rows]


@settings(max_examples=150, deadline=None)
@given(rows=_ROWS, ascii_only=st.booleans())
def test_any_text_that_json_writes_reads_back(
    tmp_path_factory: Any, rows: list[tuple[str, str, str]], ascii_only: bool
) -> None:
    path = _shared(tmp_path_factory) / "any.jsonl"
    path.write_text(
        "".join(
            json.dumps({"path": name, "caption": text, "label": label}, ensure_ascii=ascii_only) + "\n"
            for name, text, label in rows
        ),
        encoding="utf-8",
    )
    assert keys_and_labels(read(path)) == [(name, label) for name, _, label in rows]


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300) | st.text(st.sampled_from('path,label;"\n\r{}[]:\tants/0.png ')).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = _shared(tmp_path_factory) / "bytes.csv"
    path.write_bytes(content)
    FORMAT.detect(locate(path))
    with suppress(RefusedError):
        read(path)


def _shared(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "shared"
    if not folder.exists():
        write_folder(folder, make_images(CLASS_FILES))
    return folder


def test_hymenoptera_as_a_table_equals_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with ARCHIVE.open(locate(shared_data / "hymenoptera.zip")) as raw:
        rows = [(sample.key, sample.label, sample.split) for sample in raw.samples]
        for sample in raw.samples:
            write_folder(tmp_path, {sample.key: read_bytes(sample)})
        table = write_table(tmp_path, format_csv(rows, ["image", "species", "partition"]), images=[])
        for data_path in (table, tmp_path):
            from_table = read(data_path)
            assert from_table.classes == raw.classes
            assert [(sample.key, sample.label, sample.split) for sample in from_table.samples] == rows
            assert from_table.dropped == []
