import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.data.formats.coco import FORMAT, annotations
from graftline.data.formats.raw import RawDataset
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import at, folder_of, pictures, png, zip_of
from tests.builders.raw_records import coco

LABELS = {f"{number}.png": [1 + number % 2] for number in range(6)}
NESTED = 100_000


def read(path: Path) -> RawDataset:
    with FORMAT.read(at(path)) as raw:
        return raw


def refused(path: Path, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(path)


def beside(folder: Path, content: bytes) -> Path:
    """A JSON, and its images beside it."""
    return folder_of(folder, {**pictures(list(LABELS)), "annotations.json": content})


def faults(raw: RawDataset) -> dict[str, str]:
    return {fault.file: fault.why for fault in raw.faults}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../secret.png", "climbs out with '..'"),
        ("/etc/passwd", "has an absolute path"),
        ("a\\0.png", "has a backslash in its name"),
        ("C:/0.png", "has a drive letter"),
        ("a\n.png", "has a control character in its name"),
        ("gone.png", "there is no such file beside the JSON"),
        ("http://x/0.png", "there is no such file"),
        ("a" * 5000, "there is no such file"),
        ("", "there is no such file"),
        (".", "there is no such file"),
        ("out.png", "a link out of the folder"),
        ("images/out/secret.png", ""),
        ("pipe.png", "not a regular file|there is no such file"),
        ("0.png", "named twice, again in annotations.json"),
        ("\ud800.png", "its name is no Unicode text"),
        ("annotations.json/0.png", "there is no such file"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_names_that_are_no_image_of_the_folder_are_faults(tmp_path: Path, name: str, why: str, alone: bool) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "secret.png").write_bytes(png(0))
    (tmp_path / "secret.png").write_bytes(png(0))
    value = json.loads(coco(LABELS))
    value["images"].append({"id": 6, "file_name": name})
    value["annotations"].append({"id": 6, "image_id": 6, "category_id": 1})
    place = beside(tmp_path / "set" / "x", json.dumps(value).encode())
    (place / "images").mkdir()
    (place / "images" / "out").symlink_to(tmp_path / "secret")
    (place / "out.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(place / "pipe.png")
    raw = read(place / "annotations.json" if alone else place)
    assert len(raw.samples) == 6
    found = next(fault for fault in raw.faults if fault.file == name.encode(errors="backslashreplace").decode())
    assert re.search(why, found.why)


@pytest.mark.parametrize(
    ("change", "file", "why"),
    [
        ({"category_id": 9}, "0.png", "an annotation of it names a category_id that is not under categories"),
        ({"category_id": [1]}, "0.png", "an annotation of it names a category_id that is not under categories"),
        ({"image_id": 99}, "annotations.json", "1 annotations name an image_id that is not under images"),
        ({"image_id": {}}, "annotations.json", "1 annotations name an image_id that is not under images"),
    ],
)
def test_ids_that_point_nowhere_are_faults(tmp_path: Path, change: dict[str, Any], file: str, why: str) -> None:
    value = json.loads(coco({**LABELS, "0.png": [1, 1]}))
    value["annotations"][0].update(change)
    raw = read(beside(tmp_path, json.dumps(value).encode()))
    assert faults(raw) == {file: why}


def test_annotations_without_ids_are_counted(tmp_path: Path) -> None:
    value = json.loads(coco(LABELS))
    value["annotations"] += [{"image_id": 1, "caption": "a cat"}, {"caption": "a dog"}, 7]
    raw = read(beside(tmp_path, json.dumps(value).encode()))
    assert faults(raw) == {"annotations.json": "3 annotations have no image_id or no category_id"}
    assert len(raw.samples) == 6


CATS = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [*CATS, {"id": 3, "name": "cat"}]}, "the categories 1 and 3 are both called 'cat'; merge or"),
        (
            {"categories": [*CATS, {"id": 2, "name": "owl"}]},
            "the categories 'dog' and 'owl' have the same id 2; ids must",
        ),
        ({"categories": [*CATS, {"id": 3}]}, r"categories\[2\] is a dict, expected an id and a name"),
        ({"categories": [7]}, r"categories\[0\] is 7, expected"),
        ({"categories": [{"id": 1, "name": "a\nb"}]}, "the name of category 1 has a line break"),
        ({"categories": [{"id": [1], "name": "a"}]}, r"categories\[0\] is a dict"),
        ({"categories": None}, "no COCO JSON with labels: expected a list 'categories', found"),
        ({"annotations": {}}, "expected a list 'annotations'"),
        ({"images": "x"}, "expected a list 'images'"),
        (
            {"images": [{"id": 1, "file_name": "0.png"}, {"id": 1, "file_name": "1.png"}]},
            "the images '0.png' and '1.png' have the same id 1; ids must be unique",
        ),
        ({"images": [{"id": 1}]}, r"images\[0\] is a dict, expected an id and a file_name"),
        ({"images": [{"id": 1, "file_name": 3}]}, r"images\[0\] is a dict"),
        ({"annotations": []}, "no image with exactly one category among 6; the first: 0.png: no annotation"),
        ({"images": []}, "no image with exactly one category among 1; the first: annotations.json: 6 annotations name"),
    ],
)
def test_a_json_that_means_two_things_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    refused(beside(tmp_path, coco(LABELS, **change)), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a whole JSON"),
        (b'{"images": [', "not a whole JSON"),
        (b"\xff\xfe{}", "not a whole JSON"),
        (b"[1, 2]", "no COCO JSON: expected an object with images, annotations, categories, found a list"),
        (b'{"a": ' * NESTED, "not a whole JSON"),
        (b'{"images": ' + b"9" * 5000 + b"}", "not a whole JSON"),
        (b'{"label": "cat"}', r"no COCO JSON with labels: expected a list 'images', found 'label'"),
        (b'{"image_id": 1, "category_id": 2}', "no COCO JSON: expected an object"),
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_what_is_no_coco_json_is_refused_and_not_found(
    tmp_path: Path, content: bytes, message: str, alone: bool
) -> None:
    place = beside(tmp_path, content)
    place = place / "annotations.json" if alone else place
    assert not FORMAT.found(at(place))
    refused(place, f"annotations.json: {message}")


def test_a_deep_value_where_a_name_belongs_is_refused(tmp_path: Path) -> None:
    refused(beside(tmp_path, coco(LABELS).replace(b'"cat"', b"[" * 900 + b"]" * 900)), "categories|not a whole JSON")


def test_too_large_a_json_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "MAX_BYTES", 100)
    refused(beside(tmp_path, coco(LABELS)), r"at most 100 are read; leave the shapes \('segmentation'\) out of it")


def test_a_damaged_json_in_a_zip_is_refused(tmp_path: Path) -> None:
    place = zip_of(tmp_path / "a.zip", {"train/_annotations.coco.json": coco(LABELS), "train/0.png": png(0)})
    content = bytearray(place.read_bytes())
    content[60:80] = bytes(20)
    place.write_bytes(content)
    refused(place, "not a whole JSON|damaged")


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
    place = folder_of(tmp_path, {"0.png": b"x", "a/1.png": b"x", "annotations.json": content})
    place = place / "annotations.json" if alone else place
    FORMAT.found(at(place))
    message = str(tmp_path)
    try:
        assert {sample.key for sample in read(place).samples} <= {"0.png", "a/1.png", "annotations.json"}
    except RefusedError as error:
        message = str(error)
    assert str(tmp_path).encode() in message.encode()
