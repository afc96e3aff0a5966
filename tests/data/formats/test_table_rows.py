import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.data.formats.archive import FORMAT as ARCHIVE
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.table import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures
from tests.builders.tables import ROWS, content, csv_of, facts, faults, jsonl_of, placed, table_in


def read(path: Path, /, **columns: str) -> RawDataset:
    with FORMAT.read(placed(path, **columns)) as raw:
        return raw


def test_a_table_and_the_folder_that_holds_it_are_read_alike(tmp_path: Path) -> None:
    table = table_in(tmp_path, csv_of(ROWS))
    for place in (table, tmp_path):
        assert FORMAT.found(at(place))
        raw = read(place)
        assert raw.classes == ["ants", "bees"]
        assert facts(raw) == ROWS
        assert {sample.split for sample in raw.samples} == {None}
        assert raw.faults == []
        assert content(raw.samples[3]) == pictures(PLAIN)[PLAIN[3]]


def test_splits_and_groups_by_their_usual_names(tmp_path: Path) -> None:
    rows = [
        (name, "ants", split, f"cow{number}")
        for number, (name, split) in enumerate(
            zip(PLAIN, ["train", "TRAIN", "val", "dev", "Validation", "test", "testing", ""], strict=True)
        )
    ]
    raw = read(table_in(tmp_path, csv_of(rows, ["File Name", "Class", "Subset", "group_id"])))
    assert [sample.split for sample in raw.samples] == ["train", "train", "val", "val", "val", "test", "test", None]
    assert [sample.group for sample in raw.samples] == [f"cow{number}" for number in range(8)]


def test_json_lines_with_fields_that_come_late(tmp_path: Path) -> None:
    rows = [{"file_name": name, "label": label, "more": {"a": [1]}} for name, label in ROWS]
    text = jsonl_of([*rows[:4], *({**row, "split": "test"} for row in rows[4:])]) + "\n"
    raw = read(table_in(tmp_path, text, "metadata.jsonl").parent)
    assert facts(raw) == ROWS
    assert [sample.split for sample in raw.samples] == [None] * 4 + ["test"] * 4


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\n\n", "\r\n"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_boms_and_line_ends(tmp_path: Path, separator: str, start: str, ending: str) -> None:
    rows = [(name, f"a{separator}b", f"a, b; {label}|") for name, label in ROWS]
    text = start + csv_of(rows, ["path", "caption", "label"], delimiter=separator, lineterminator=ending)
    assert facts(read(table_in(tmp_path, text))) == [(name, label) for name, _, label in rows]


def test_spaces_after_separators_and_quotes(tmp_path: Path) -> None:
    text = 'path, "label", split\n' + "".join(f'{name}, "{label}", train\n' for name, label in ROWS)
    raw = read(table_in(tmp_path, text))
    assert facts(raw) == ROWS
    assert raw.samples[0].split == "train"


def test_a_quoted_newline_stays_in_its_row_and_lines_are_counted(tmp_path: Path) -> None:
    rows = [("ants/0.png", 'an ant,\non its "hill"', "ants"), ("ants/1.png", "", "bees"), ("gone.png", "\n", "bees")]
    raw = read(table_in(tmp_path, csv_of(rows, ["path", "caption", "label"])))
    assert facts(raw) == [("ants/0.png", "ants"), ("ants/1.png", "bees")]
    assert faults(raw) == {"gone.png": "there is no such file (labels.csv, line 5)"}


def test_integers_are_classes_in_their_numbers_order(tmp_path: Path) -> None:
    rows = list(zip(PLAIN, [10, 2, 1, -1, 10, 2, 1, 0], strict=True))
    for text, name in ((csv_of(rows), "a.csv"), (jsonl_of([{"path": p, "y": y} for p, y in rows]), "b.jsonl")):
        raw = read(table_in(tmp_path, text, name))
        assert raw.classes == ["-1", "0", "1", "2", "10"]
    raw = read(table_in(tmp_path, csv_of([*rows[:7], (PLAIN[7], "x")])))
    assert raw.classes == ["-1", "1", "10", "2", "x"]


def test_json_values_become_text(tmp_path: Path) -> None:
    values = [True, False, 1.5, 3, "x", None, float("nan"), [1]]
    raw = read(
        table_in(tmp_path, jsonl_of([{"path": p, "label": v} for p, v in zip(PLAIN, values, strict=True)]), "a.jsonl")
    )
    assert [label for _, label in facts(raw)] == ["true", "false", "1.5", "3", "x"]
    assert faults(raw) == {
        "bees/1.png": "it has no label (a.jsonl, line 6)",
        "bees/2.png": "it has no label (a.jsonl, line 7)",
        "a.jsonl, line 8": "its label is a list; expected one value",
    }


def test_tables_called_after_splits_give_them(tmp_path: Path) -> None:
    for number, name in enumerate(["train.csv", "valid_labels.csv", "test.tsv"]):
        table_in(tmp_path, csv_of(ROWS[number::3], delimiter="\t" if name.endswith("tsv") else ","), name)
    raw = read(tmp_path)
    assert {sample.key: sample.split for sample in raw.samples} == {
        name: ("train", "val", "test")[number % 3] for number, (name, _) in enumerate(ROWS)
    }


def test_metadata_in_split_folders_starts_at_those(tmp_path: Path) -> None:
    for split in ("train", "test"):
        names = [f"{split}/{number}.png" for number in range(4)]
        rows = [{"file_name": f"{number}.png", "label": "ab"[number % 2]} for number in range(4)]
        table_in(tmp_path, jsonl_of(rows), f"{split}/metadata.jsonl", names)
    raw = read(tmp_path)
    assert [(sample.key, sample.split) for sample in raw.samples] == [
        (f"{split}/{number}.png", split) for split in ("test", "train") for number in range(4)
    ]


def test_a_lone_table_called_train_gives_no_split(tmp_path: Path) -> None:
    table_in(tmp_path, csv_of(ROWS), "train.csv")
    for place in (tmp_path, tmp_path / "train.csv"):
        assert {sample.split for sample in read(place).samples} == {None}


def test_named_columns_go_before_the_usual_ones(tmp_path: Path) -> None:
    rows = [("x", name, "1", label, "train", "b1") for name, label in ROWS]
    table = table_in(tmp_path, csv_of(rows, ["path", "where", "label", "species", "split", "barn"]))
    raw = read(table, path="where", label="species", group="barn")
    assert facts(raw) == ROWS
    assert {(sample.split, sample.group) for sample in raw.samples} == {("train", "b1")}


def test_one_file_written_in_two_ways_is_one_file(tmp_path: Path) -> None:
    raw = read(table_in(tmp_path, csv_of([*ROWS, ("./ants/0.png", "ants"), ("ants//1.png", "ants")])))
    assert facts(raw) == ROWS
    assert raw.notes == ["2 rows repeat an earlier one; each file is taken once"]


@pytest.mark.parametrize(
    ("header", "more", "why"),
    [
        (["path", "label"], ("bees",), "two rows give it the labels 'ants' and 'bees'; keep the right one"),
        (
            ["path", "label", "split"],
            ("ants", "test"),
            "two rows give it the splits 'train' and 'test'; keep the right",
        ),
        (
            ["path", "label", "group"],
            ("ants", "g2"),
            "two rows give it the groups 'train' and 'g2'; keep the right one",
        ),
    ],
)
def test_a_file_with_two_truths_is_dropped(tmp_path: Path, header: list[str], more: tuple[str, ...], why: str) -> None:
    rows: list[Sequence[str]] = [(*row, "train")[: len(header)] for row in ROWS]
    raw = read(table_in(tmp_path, csv_of([*rows, ("ants/0.png", *more)], header)))
    assert facts(raw) == ROWS[1:]
    assert faults(raw)["ants/0.png"].startswith(why)
    assert raw.notes == []


_LABEL = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256).filter(str.strip)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_ROWS = st.lists(st.tuples(st.sampled_from(PLAIN), _TEXT, _LABEL), min_size=1, unique_by=lambda row: row[0])


@settings(max_examples=150, deadline=None)
@given(rows=_ROWS, separator=st.sampled_from(",;\t|"), quoting=st.sampled_from([0, 1]))
def test_any_text_that_csv_writes_reads_back(
    tmp_path_factory: Any, rows: list[tuple[str, str, str]], separator: str, quoting: int
) -> None:
    path = _shared(tmp_path_factory) / "any.csv"
    path.write_bytes(csv_of(rows, ["path", "caption", "label"], delimiter=separator, quoting=quoting).encode())
    assert facts(read(path)) == [(name, label) for name, _, label in rows]


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
    assert facts(read(path)) == [(name, label) for name, _, label in rows]


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300) | st.text(st.sampled_from('path,label;"\n\r{}[]:\tants/0.png ')).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    path = _shared(tmp_path_factory) / "bytes.csv"
    path.write_bytes(content)
    FORMAT.found(at(path))
    with suppress(RefusedError):
        read(path)


def _shared(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "shared"
    if not folder.exists():
        folder_of(folder, pictures(PLAIN))
    return folder


def test_hymenoptera_by_a_table_is_hymenoptera_by_its_folders(tmp_path: Path, shared_data: Path) -> None:
    with ARCHIVE.read(at(shared_data / "hymenoptera.zip")) as raw:
        rows = [(sample.key, sample.label, sample.split) for sample in raw.samples]
        for sample in raw.samples:
            folder_of(tmp_path, {sample.key: content(sample)})
        table = table_in(tmp_path, csv_of(rows, ["image", "species", "partition"]), images=[])
        for place in (table, tmp_path):
            found = read(place)
            assert found.classes == raw.classes
            assert [(sample.key, sample.label, sample.split) for sample in found.samples] == rows
            assert found.faults == []
