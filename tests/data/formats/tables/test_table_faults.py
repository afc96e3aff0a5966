import os
import sys
from functools import partial
from pathlib import Path

import pytest

from graftline.data.formats.tables.table import FORMAT
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder
from tests.builders.reading import assert_refused, dropped_reasons, keys_and_labels, locate, read_dataset
from tests.builders.tables import CLASS_ROWS, format_csv, format_jsonl, write_table

read = partial(read_dataset, FORMAT)
refused = partial(assert_refused, FORMAT)


@pytest.mark.parametrize(
    ("name", "file", "why"),
    [
        ("ants/9.png", "ants/9.png", "no such file"),
        ("ants/0.png/x", "ants/0.png/x", "no such file"),
        ("ants", "ants", "not a regular file"),
        ("../secret.png", "../secret.png", "climbs out with '..'; use paths relative to the table's folder"),
        ("ants/../../x", "ants/../../x", "climbs out with '..'; use paths relative to the table's folder"),
        ("/etc/passwd", "/etc/passwd", "has an absolute path; use paths relative to the table's folder"),
        ("C:/x.png", "C:/x.png", "has a drive letter; use paths relative to the table's folder"),
        ("ants\\0.png", "ants\\0.png", "has a backslash in its name; use paths relative to the table's folder"),
        (
            "ants/0\t.png",
            "ants/0\t.png",
            "has a control character in its name; use paths relative to the table's folder",
        ),
        ("out.png", "out.png", "a link to a file outside the folder"),
        ("outside/secret.png", "outside/secret.png", "a link to a file outside the folder"),
        ("dead.png", "dead.png", "a broken link"),
        ("loop.png", "loop.png", "not accessible: Too many levels of symbolic links"),
        ("pipe.png", "pipe.png", "not a regular file"),
        ("x" * 300, "x" * 200 + "...", "not accessible: File name too long"),
        (
            "https://host/x.png",
            "https://host/x.png",
            "https: URIs are not supported; put the file next to the table, or use a gs:// URI",
        ),
        (
            "file:///etc/passwd",
            "file:///etc/passwd",
            "file: URIs are not supported; put the file next to the table, or use a gs:// URI",
        ),
        (
            "data:image/png;base64,AA",
            "data:image/png;base64,AA",
            "data: URIs are not supported; put the file next to the table, or use a gs:// URI",
        ),
        *[
            (
                uri,
                uri,
                "malformed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or "
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
        ("", "labels.csv, line 10", "the row names no file"),
        ("  ", "labels.csv, line 10", "the row names no file"),
    ],
)
def test_rows_with_unusable_file_names_are_dropped(tmp_path: Path, name: str, file: str, why: str) -> None:
    folder = tmp_path / "data"
    table = write_table(folder, format_csv([*CLASS_ROWS, (name, "ants")]))
    (tmp_path / "secret.png").write_bytes(make_png(0))
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "dead.png").symlink_to("nothing")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.png")
    raw = read(table)
    assert keys_and_labels(raw) == CLASS_ROWS
    [(dropped_file, reason)] = dropped_reasons(raw).items()
    assert (dropped_file, reason.removesuffix(" (labels.csv, line 10)")) == (file, why)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    write_folder(tmp_path, make_images(CLASS_FILES))
    (tmp_path / "link.png").symlink_to(tmp_path / "ants" / "0.png")
    (tmp_path / "more").symlink_to(tmp_path / "bees")
    raw = read(write_table(tmp_path, format_csv([("link.png", "a"), ("more/1.png", "b")])))
    assert keys_and_labels(raw) == [("link.png", "a"), ("more/1.png", "b")]


@pytest.mark.parametrize(
    ("line", "file", "why"),
    [
        (b"ants/1.png,bees,train,extra", "labels.csv, line 3", "4 fields, but the header has 3"),
        (b"ants/1.png", "labels.csv, line 3", "1 fields, but the header has 3"),
        (b'ants/1.png,"be"es,train', "labels.csv, line 3", "malformed row: ',' expected after '\"'"),
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
            "its label has 300 characters; a class name may have at most 256 (labels.csv, line 3)",
        ),
        (
            b"ants/1.png,bees,extra",
            "ants/1.png",
            "its split is 'extra', expected one of train, val, valid, validation, test, "
            "training, dev, testing (labels.csv, line 3)",
        ),
        (
            b"ants/1.png," + b"x" * 200_000 + b",train",
            "labels.csv, line 3",
            "malformed row: field larger than field limit (131072)",
        ),
    ],
)
def test_malformed_rows_are_dropped(tmp_path: Path, line: bytes, file: str, why: str) -> None:
    text = b"path,label,split\nants/0.png,ants,train\n" + line + b"\n,,\n\nbees/0.png,bees,train\n"
    raw = read(write_table(tmp_path, text))
    assert keys_and_labels(raw) == [("ants/0.png", "ants"), ("bees/0.png", "bees")]
    assert dropped_reasons(raw) == {file: why}


@pytest.mark.parametrize(
    ("line", "file", "why"),
    [
        ('{"path": "ants/1.png", "label": ', "a.jsonl, line 2", "not JSON: Expecting value"),
        ("[1, 2]", "a.jsonl, line 2", "expected a JSON object, found list"),
        ("[" * 100_000, "a.jsonl, line 2", "not JSON: maximum recursion depth exceeded"),
        ('{"path": "ants/1.png"}', "ants/1.png", "it has no label"),
        ('{"label": "ants"}', "a.jsonl, line 2", "the row names no file"),
        ('{"path": {"a": 1}, "label": "x"}', "a.jsonl, line 2", "its path is a mapping, expected a single value"),
        ('{"path": "ants/1.png", "label": "\\ud800"}', "a.jsonl, line 2", "its label is not UTF-8"),
        ('{"path": "ants/1.png", "label": ' + "9" * 5000 + "}", "a.jsonl, line 2", "not JSON: Exceeds the limit"),
    ],
)
def test_malformed_json_lines_are_dropped(tmp_path: Path, line: str, file: str, why: str) -> None:
    good = format_jsonl([{"path": name, "label": label} for name, label in CLASS_ROWS])
    first, rest = good.split("\n", 1)
    raw = read(write_table(tmp_path, f"{first}\n{line}\n{rest}", "a.jsonl"))
    assert keys_and_labels(raw) == CLASS_ROWS
    [(dropped_file, reason)] = dropped_reasons(raw).items()
    assert dropped_file == file
    assert reason.startswith(why)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "path,kind\na.png,x\n",
            r"labels\.csv: no label column; the columns are 'path', 'kind'. Name it 'label', or set",
        ),
        (
            "name,label\na.png,x\n",
            r"labels\.csv: no image column; the columns are 'name', 'label'. Name it 'path', or set",
        ),
        ("ants/0.png,ants\nbees/0.png,bees\n", r"no image column; the columns are 'ants/0.png', 'ants'"),
        (
            "path,label,species\na.png,x,y\n",
            r"'label', 'species' could all be the label; set columns\.label to one of them, "
            r"for example --set target\.columns\.label=label",
        ),
        ("path,label,label\na.png,x,y\n", "two columns have the name 'label'; rename one"),
        ("path,label\n", r"labels\.csv: no rows below the header"),
        ("path,label\n,\n\n", r"labels\.csv: no rows below the header"),
        ("", r"labels\.csv: empty table; expected a header such as path,label and rows below it"),
        ("path,label\nx.png,a\n", r"none of the 1 rows has a usable image and label: x\.png: no such file"),
        (
            'path,label\nants/0.png,"ants\nants/1.png,"ants"\nants/2.png,ants\n',
            r"labels\.csv: the row that starts in line 2 does not end in that line .* check for an unclosed quote",
        ),
        (
            'path,label\nants/0.png,ants\nants/1.png,"ants\nbees/0.png,bees\n',
            r"the row that starts in line 3 does not end in that line \(unexpected end of data\)",
        ),
        ("path,label\n" + "x" * 5_000_000, r"line 2 has more than 4,194,304 characters; check that this is a table"),
        ("x" * 5_000_000, r"line 1 has more than 4,194,304 characters; check that this is a table"),
        ("p\0ath,label\n", "not a text table; expected CSV, TSV or one JSON object per line, in UTF-8"),
    ],
    ids=range(14),
)
def test_unusable_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    refused(write_table(tmp_path, text), message)


@pytest.mark.parametrize("role", ["path", "label", "split", "group"])
def test_a_missing_requested_column_is_refused(tmp_path: Path, role: str) -> None:
    refused(
        write_table(tmp_path, format_csv(CLASS_ROWS)),
        f"no column 'kind', which columns.{role} requests; the columns are 'path', ",
        **{role: "kind"},
    )


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["graftline.data.formats.tables.samples"], "MAX_ROWS", 5)
    refused(write_table(tmp_path, format_csv(CLASS_ROWS)), "more than 5 rows; split the table")


def test_several_tables_not_named_after_splits_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path, format_csv(CLASS_ROWS), "a.csv")
    write_table(tmp_path, format_csv(CLASS_ROWS), "train.csv")
    assert FORMAT.detect(locate(tmp_path))
    refused(tmp_path, "'a.csv', 'train.csv' are tables of images, but 'a.csv' is not named after a split")


def test_a_folder_without_a_usable_table_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_folder(tmp_path, make_images(CLASS_FILES))
    refused(tmp_path, "no table; expected a CSV or JSON Lines file next to the image folders")
    write_table(tmp_path, format_csv([("x.png", "a")]))
    refused(tmp_path, r"the first 10 rows of labels\.csv have no existing file with a label")
    write_table(tmp_path, format_csv(CLASS_ROWS, ["path", "kind"]))
    refused(tmp_path, r"labels\.csv: no label column; the columns are 'path', 'kind'")
