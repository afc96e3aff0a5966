import os
import sys
from pathlib import Path

import pytest

from graftline.data.formats.raw import RawDataset
from graftline.data.formats.table import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, png
from tests.builders.tables import ROWS, csv_of, facts, faults, jsonl_of, placed, table_in


def read(path: Path, /, **columns: str) -> RawDataset:
    with FORMAT.read(placed(path, **columns)) as raw:
        return raw


def refused(path: Path, message: str, /, **columns: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(path, **columns)


@pytest.mark.parametrize(
    ("name", "file", "why"),
    [
        ("ants/9.png", "ants/9.png", "there is no such file"),
        ("ants/0.png/x", "ants/0.png/x", "there is no such file"),
        ("ants", "ants", "not a regular file"),
        ("../secret.png", "../secret.png", "climbs out with '..'; name files from the table's folder on"),
        ("ants/../../x", "ants/../../x", "climbs out with '..'; name files from the table's folder on"),
        ("/etc/passwd", "/etc/passwd", "has an absolute path; name files from the table's folder on"),
        ("C:/x.png", "C:/x.png", "has a drive letter; name files from the table's folder on"),
        ("ants\\0.png", "ants\\0.png", "has a backslash in its name; name files from the table's folder on"),
        ("ants/0\t.png", "ants/0\t.png", "has a control character in its name; name files from the table's folder on"),
        ("out.png", "out.png", "a link out of the folder"),
        ("outside/secret.png", "outside/secret.png", "a link out of the folder"),
        ("dead.png", "dead.png", "a link to nothing"),
        ("loop.png", "loop.png", "cannot be looked at: Too many levels of symbolic links"),
        ("pipe.png", "pipe.png", "not a regular file"),
        ("x" * 300, "x" * 200 + "...", "cannot be looked at: File name too long"),
        (
            "https://host/x.png",
            "https://host/x.png",
            "a https: URI is not fetched; bring the file beside the table, or give a gs:// URI",
        ),
        (
            "file:///etc/passwd",
            "file:///etc/passwd",
            "a file: URI is not fetched; bring the file beside the table, or give a gs:// URI",
        ),
        (
            "data:image/png;base64,AA",
            "data:image/png;base64,AA",
            "a data: URI is not fetched; bring the file beside the table, or give a gs:// URI",
        ),
        *[
            (
                uri,
                uri,
                "not a well-formed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or "
                "control characters",
            )
            for uri in (
                "gs://bucket",
                "gs://bucket/",
                "gs://bucket/../x",
                "gs://B/x",
                "gs://bucket//x",
                "gs://bucket/x/",
                "gs://bucket/./x",
                "GS://bucket/x",
            )
        ],
        ("", "labels.csv, line 10", "it names no file"),
        ("  ", "labels.csv, line 10", "it names no file"),
    ],
)
def test_names_that_give_no_image(tmp_path: Path, name: str, file: str, why: str) -> None:
    folder = tmp_path / "data"
    table = table_in(folder, csv_of([*ROWS, (name, "ants")]))
    (tmp_path / "secret.png").write_bytes(png(0))
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "dead.png").symlink_to("nothing")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    raw = read(table)
    assert facts(raw) == ROWS
    [(found, said)] = faults(raw).items()
    assert (found, said.removesuffix(" (labels.csv, line 10)")) == (file, why)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    folder_of(tmp_path, pictures(PLAIN))
    (tmp_path / "link.png").symlink_to(tmp_path / "ants" / "0.png")
    (tmp_path / "more").symlink_to(tmp_path / "bees")
    raw = read(table_in(tmp_path, csv_of([("link.png", "a"), ("more/1.png", "b")])))
    assert facts(raw) == [("link.png", "a"), ("more/1.png", "b")]


@pytest.mark.parametrize(
    ("line", "file", "why"),
    [
        (b"ants/1.png,bees,train,extra", "labels.csv, line 3", "4 fields, the header has 3"),
        (b"ants/1.png", "labels.csv, line 3", "1 fields, the header has 3"),
        (b'ants/1.png,"be"es,train', "labels.csv, line 3", "broken: ',' expected after '\"'"),
        (b"ants/1.png,b\xe9es,train", "labels.csv, line 3", "its label is not UTF-8; save the table as UTF-8"),
        (b"ants/\xff.png,bees,train", "labels.csv, line 3", "its path is not UTF-8; save the table as UTF-8"),
        (b"ants/1.png,,train", "ants/1.png", "it has no label (labels.csv, line 3)"),
        (b"ants/1.png, ,train", "ants/1.png", "it has no label (labels.csv, line 3)"),
        (
            b'ants/1.png,"be\nes",train',
            "ants/1.png",
            "its label has a line break or another control character (labels.csv, line 3)",
        ),
        (
            b"ants/1.png," + b"x" * 300 + b",train",
            "ants/1.png",
            "its label has 300 characters, a class's name has at most 256 (labels.csv, line 3)",
        ),
        (
            b"ants/1.png,bees,extra",
            "ants/1.png",
            "its split 'extra' is none of train, val, valid, validation, test, "
            "training, dev, testing (labels.csv, line 3)",
        ),
        (
            b"ants/1.png," + b"x" * 200_000 + b",train",
            "labels.csv, line 3",
            "broken: field larger than field limit (131072)",
        ),
    ],
)
def test_rows_that_are_broken(tmp_path: Path, line: bytes, file: str, why: str) -> None:
    text = b"path,label,split\nants/0.png,ants,train\n" + line + b"\n,,\n\nbees/0.png,bees,train\n"
    raw = read(table_in(tmp_path, text))
    assert facts(raw) == [("ants/0.png", "ants"), ("bees/0.png", "bees")]
    assert faults(raw) == {file: why}


@pytest.mark.parametrize(
    ("line", "file", "why"),
    [
        ('{"path": "ants/1.png", "label": ', "a.jsonl, line 2", "not JSON: Expecting value"),
        ("[1, 2]", "a.jsonl, line 2", "expected a JSON object, found list"),
        ("[" * 100_000, "a.jsonl, line 2", "not JSON: maximum recursion depth exceeded"),
        ('{"path": "ants/1.png"}', "ants/1.png", "it has no label"),
        ('{"label": "ants"}', "a.jsonl, line 2", "it names no file"),
        ('{"path": {"a": 1}, "label": "x"}', "a.jsonl, line 2", "its path is a mapping; expected one value"),
        ('{"path": "ants/1.png", "label": "\\ud800"}', "a.jsonl, line 2", "its label is not UTF-8"),
        ('{"path": "ants/1.png", "label": ' + "9" * 5000 + "}", "a.jsonl, line 2", "not JSON: Exceeds the limit"),
    ],
)
def test_json_lines_that_are_broken(tmp_path: Path, line: str, file: str, why: str) -> None:
    good = jsonl_of([{"path": name, "label": label} for name, label in ROWS])
    first, rest = good.split("\n", 1)
    raw = read(table_in(tmp_path, f"{first}\n{line}\n{rest}", "a.jsonl"))
    assert facts(raw) == ROWS
    [(found, said)] = faults(raw).items()
    assert found == file
    assert said.startswith(why)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,kind\na.png,x\n",
            r"labels\.csv: no column of classes; there are 'path', 'kind'; call it 'label', or say",
        ),
        (
            "name,label\na.png,x\n",
            r"labels\.csv: no column of images; there are 'name', 'label'; call it 'path', or say",
        ),
        ("ants/0.png,ants\nbees/0.png,bees\n", r"no column of images; there are 'ants/0.png', 'ants'"),
        (
            "path,label,species\na.png,x,y\n",
            r"'label', 'species' could each be the class; say which under columns\.label, "
            r"such as --set target\.columns\.label=label",
        ),
        ("path,label,label\na.png,x,y\n", "two columns are called 'label'; rename one"),
        ("path,label\n", r"labels\.csv: no row below the header"),
        ("path,label\n,\n\n", r"labels\.csv: no row below the header"),
        ("", r"labels\.csv: an empty table; expected a header such as path,label and rows below it"),
        ("path,label\nx.png,a\n", r"none of its 1 rows gives an image and a label: x\.png: there is no such file"),
        (
            'path,label\nants/0.png,"ants\nants/1.png,"ants"\nants/2.png,ants\n',
            r"labels\.csv: the row that begins in line 2 does not end in it .* is a quote not closed\?",
        ),
        (
            'path,label\nants/0.png,ants\nants/1.png,"ants\nbees/0.png,bees\n',
            r"the row that begins in line 3 does not end in it \(unexpected end of data\)",
        ),
        ("path,label\n" + "x" * 5_000_000, r"line 2 has more than 4,194,304 characters; is it a table\?"),
        ("x" * 5_000_000, r"line 1 has more than 4,194,304 characters; is it a table\?"),
        ("p\0ath,label\n", "not a table of text; expected CSV, TSV or a JSON object a line, in UTF-8"),
    ],
    ids=range(14),
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    refused(table_in(tmp_path, text), message)


@pytest.mark.parametrize("role", ["path", "label", "split", "group"])
def test_a_named_column_that_is_not_there_is_refused(tmp_path: Path, role: str) -> None:
    refused(
        table_in(tmp_path, csv_of(ROWS)),
        f"no column 'kind', which columns.{role} names; there are 'path', ",
        **{role: "kind"},
    )


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["graftline.data.formats.tables.rows"], "MAX_ROWS", 5)
    refused(table_in(tmp_path, csv_of(ROWS)), "more than 5 rows; split it")


def test_several_tables_that_are_no_splits_are_refused(tmp_path: Path) -> None:
    table_in(tmp_path, csv_of(ROWS), "a.csv")
    table_in(tmp_path, csv_of(ROWS), "train.csv")
    assert FORMAT.found(at(tmp_path))
    refused(tmp_path, "'a.csv', 'train.csv' are tables of images, and 'a.csv' is not called after a split")


def test_a_folder_asked_for_as_a_table_is_told_what_it_lacks(tmp_path: Path) -> None:
    folder_of(tmp_path, pictures(PLAIN))
    refused(tmp_path, "no table in it; expected a CSV or JSON-lines file at its top, beside the images")
    table_in(tmp_path, csv_of([("x.png", "a")]))
    refused(tmp_path, r"the first 10 rows of labels\.csv name no file that is there, with a label")
    table_in(tmp_path, csv_of(ROWS, ["path", "kind"]))
    refused(tmp_path, r"labels\.csv: no column of classes; there are 'path', 'kind'")
