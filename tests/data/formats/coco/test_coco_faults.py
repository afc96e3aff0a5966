import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.data.formats.coco import annotations
from graftline.data.formats.coco.coco import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import make_images, make_png, write_folder, write_zip
from tests.builders.raw_records import make_coco_json
from tests.builders.reading import assert_refused, dropped_reasons, locate, read_dataset

read = partial(read_dataset, FORMAT)
refused = partial(assert_refused, FORMAT)

LABELS = {f"{number}.png": [1 + number % 2] for number in range(6)}
NESTED = 100_000


def beside(folder: Path, content: bytes) -> Path:
    """A JSON, and its images beside it."""
    return write_folder(folder, {**make_images(list(LABELS)), "annotations.json": content})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../secret.png", "climbs out with '..'"),
        ("/etc/passwd", "has an absolute path"),
        ("a\\0.png", "has a backslash in its name"),
        ("C:/0.png", "has a drive letter"),
        ("a\n.png", "has a control character in its name"),
        ("gone.png", "no such file next to the JSON"),
        ("http://x/0.png", "no such file"),
        ("a" * 5000, "no such file"),
        ("", "no such file"),
        (".", "no such file"),
        ("out.png", "a link to a file outside the folder"),
        ("images/out/secret.png", ""),
        ("pipe.png", "not a regular file|no such file"),
        ("0.png", "listed twice, the second time in annotations.json"),
        ("\ud800.png", "its name is not valid Unicode"),
        ("annotations.json/0.png", "no such file"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_file_names_that_are_not_images_of_the_folder_are_dropped(
    tmp_path: Path, name: str, why: str, alone: bool
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "secret.png").write_bytes(make_png(0))
    (tmp_path / "secret.png").write_bytes(make_png(0))
    value = json.loads(make_coco_json(LABELS))
    value["images"].append({"id": 6, "file_name": name})
    value["annotations"].append({"id": 6, "image_id": 6, "category_id": 1})
    data_path = beside(tmp_path / "set" / "x", json.dumps(value).encode())
    (data_path / "images").mkdir()
    (data_path / "images" / "out").symlink_to(tmp_path / "secret")
    (data_path / "out.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(data_path / "pipe.png")
    raw = read(data_path / "annotations.json" if alone else data_path)
    assert len(raw.samples) == 6
    dropped = next(item for item in raw.dropped if item.file == name.encode(errors="backslashreplace").decode())
    assert re.search(why, dropped.why)


@pytest.mark.parametrize(
    ("change", "file", "why"),
    [
        ({"category_id": 9}, "0.png", "one of its annotations has a category_id that is not under categories"),
        ({"category_id": [1]}, "0.png", "one of its annotations has a category_id that is not under categories"),
        ({"image_id": 99}, "annotations.json", "1 annotations have an image_id that is not under images"),
        ({"image_id": {}}, "annotations.json", "1 annotations have an image_id that is not under images"),
    ],
)
def test_dangling_ids_are_dropped(tmp_path: Path, change: dict[str, Any], file: str, why: str) -> None:
    value = json.loads(make_coco_json({**LABELS, "0.png": [1, 1]}))
    value["annotations"][0].update(change)
    raw = read(beside(tmp_path, json.dumps(value).encode()))
    assert dropped_reasons(raw) == {file: why}


def test_annotations_without_ids_are_counted(tmp_path: Path) -> None:
    value = json.loads(make_coco_json(LABELS))
    value["annotations"] += [{"image_id": 1, "caption": "a cat"}, {"caption": "a dog"}, 7]
    raw = read(beside(tmp_path, json.dumps(value).encode()))
    assert dropped_reasons(raw) == {"annotations.json": "3 annotations have no image_id or no category_id"}
    assert len(raw.samples) == 6


CATS = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [*CATS, {"id": 3, "name": "cat"}]}, "categories 1 and 3 have the same name 'cat'; merge or"),
        (
            {"categories": [*CATS, {"id": 2, "name": "owl"}]},
            "categories 'dog' and 'owl' have the same id 2; ids must",
        ),
        ({"categories": [*CATS, {"id": 3}]}, r"categories\[2\] is a dict, expected an id and a name"),
        ({"categories": [7]}, r"categories\[0\] is 7, expected"),
        ({"categories": [{"id": 1, "name": "a\nb"}]}, "the name of category 1 has a line break"),
        ({"categories": [{"id": [1], "name": "a"}]}, r"categories\[0\] is a dict"),
        ({"categories": None}, "not a COCO JSON with labels: expected a list 'categories', found"),
        ({"annotations": {}}, "expected a list 'annotations'"),
        ({"images": "x"}, "expected a list 'images'"),
        (
            {"images": [{"id": 1, "file_name": "0.png"}, {"id": 1, "file_name": "1.png"}]},
            "images '0.png' and '1.png' have the same id 1; ids must be unique",
        ),
        ({"images": [{"id": 1}]}, r"images\[0\] is a dict, expected an id and a file_name"),
        ({"images": [{"id": 1, "file_name": 3}]}, r"images\[0\] is a dict"),
        ({"annotations": []}, r"no image has a usable label \(6 dropped, the first: 0.png: no annotation\)"),
        ({"images": []}, r"no image has a usable label \(1 dropped, the first: annotations.json: 6 annotations have"),
    ],
)
def test_an_invalid_or_ambiguous_coco_json_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    refused(beside(tmp_path, make_coco_json(LABELS, **change)), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "incomplete or damaged JSON"),
        (b'{"images": [', "incomplete or damaged JSON"),
        (b"\xff\xfe{}", "incomplete or damaged JSON"),
        (b"[1, 2]", "not a COCO JSON: expected an object with images, annotations, categories, found a list"),
        (b'{"a": ' * NESTED, "incomplete or damaged JSON"),
        (b'{"images": ' + b"9" * 5000 + b"}", "incomplete or damaged JSON"),
        (b'{"label": "cat"}', r"not a COCO JSON with labels: expected a list 'images', found 'label'"),
        (b'{"image_id": 1, "category_id": 2}', "not a COCO JSON: expected an object"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_other_json_files_are_refused_and_not_detected(
    tmp_path: Path, content: bytes, message: str, alone: bool
) -> None:
    data_path = beside(tmp_path, content)
    data_path = data_path / "annotations.json" if alone else data_path
    assert not FORMAT.detect(locate(data_path))
    refused(data_path, f"annotations.json: {message}")


def test_a_deeply_nested_category_name_is_refused(tmp_path: Path) -> None:
    refused(
        beside(tmp_path, make_coco_json(LABELS).replace(b'"cat"', b"[" * 900 + b"]" * 900)),
        "categories|incomplete or damaged JSON",
    )


def test_an_oversized_json_is_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "MAX_BYTES", 100)
    refused(beside(tmp_path, make_coco_json(LABELS)), r"at most 100 can be read. Remove the shapes \('segmentation'\)")


def test_a_damaged_json_in_a_zip_is_refused(tmp_path: Path) -> None:
    data_path = write_zip(
        tmp_path / "a.zip", {"train/_annotations.coco.json": make_coco_json(LABELS), "train/0.png": make_png(0)}
    )
    content = bytearray(data_path.read_bytes())
    content[60:80] = bytes(20)
    data_path.write_bytes(content)
    refused(data_path, "incomplete or damaged JSON|damaged")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "file_name", "image_id", "category_id", "split"]), inner)
    ),
    max_leaves=6,
)
_RECORDS = st.lists(
    _VALUES
    | st.fixed_dictionaries(
        {},
        optional={
            "id": st.integers(0, 3) | _VALUES,
            "image_id": st.integers(0, 3) | _VALUES,
            "category_id": st.integers(0, 3) | _VALUES,
            "name": st.text(max_size=3) | _VALUES,
            "file_name": st.sampled_from(["0.png", "a/1.png", "../0.png"]) | st.text(max_size=3) | _VALUES,
        },
    ),
    max_size=4,
)
_JSONS = st.fixed_dictionaries(
    {}, optional={name: _RECORDS | _VALUES for name in ("images", "annotations", "categories", "info")}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=500), _JSONS.map(lambda value: json.dumps(value).encode())), st.booleans())
def test_arbitrary_bytes_are_read_or_refused(tmp_path: Path, content: bytes, alone: bool) -> None:
    data_path = write_folder(tmp_path, {"0.png": b"x", "a/1.png": b"x", "annotations.json": content})
    data_path = data_path / "annotations.json" if alone else data_path
    FORMAT.detect(locate(data_path))
    message = str(tmp_path)
    try:
        assert {sample.key for sample in read(data_path).samples} <= {"0.png", "a/1.png", "annotations.json"}
    except RefusedError as error:
        message = str(error)
    assert str(tmp_path).encode() in message.encode()
