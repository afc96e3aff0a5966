import gzip
import io
import json
import re
import tarfile
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.data.formats.naming import class_list
from graftline.data.formats.webdataset import fields
from graftline.data.formats.webdataset.webdataset import FORMAT
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import CLASS_FILES, make_images, make_png, write_folder, write_tar
from tests.builders.raw_records import make_jpg, make_shard_members, write_shards
from tests.builders.reading import assert_refused, dropped_reasons, locate, read_bytes, read_dataset

read = partial(read_dataset, FORMAT)
refused = partial(assert_refused, FORMAT)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"x.jpg": b""}, "an image without a label; expected a field cls, cls2, label, class, json, txt next to it"),
        ({"x.cls": b"1"}, r"a label \(cls\) without an image"),
        (
            {"x.jpg": b"", "x.mask.png": b"", "x.cls": b"1"},
            r"2 images \(jpg, mask.png\); classification needs one",
        ),
        ({"x.jpg": b"", "x.cls": b"cat"}, "its cls is 'cat', expected a class number of 0 or more"),
        ({"x.jpg": b"", "x.cls": b"-1"}, "its cls is '-1', expected a class number"),
        ({"x.jpg": b"", "x.cls": b"9" * 5000}, "expected a class number"),
        ({"x.jpg": b"", "x.cls": "٣".encode()}, "expected a class number"),
        ({"x.jpg": b"", "x.cls": b"\xff\xfe"}, "its cls is not UTF-8 text"),
        ({"x.jpg": b"", "x.txt": b"  \n"}, "its txt is empty"),
        ({"x.jpg": b"", "x.txt": b"a\nb"}, "its txt has a line break or another control character: 'a"),
        ({"x.jpg": b"", "x.txt": b"words " * 100}, "its txt has 599 characters; a class name may have at most 256"),
        ({"x.jpg": b"", "x.txt": bytes(2**20 + 1)}, "its txt has more than 1,048,576 bytes"),
        ({"x.jpg": b"", "x.json": b'{"a": 1'}, "its json is damaged: Expecting ',' delimiter"),
        ({"x.jpg": b"", "x.json": b"[" * 100_000}, "its json is damaged"),
        (
            {"x.jpg": b"", "x.json": b'{"label": ["a", "b"]}'},
            "the 'label' in its json is a list, expected a class",
        ),
        ({"x.jpg": b"", "x.json": b'{"label": 1.5}'}, "the 'label' in its json is 1.5, expected"),
        ({"x.jpg": b"", "x.json": b'{"label": "\\ud800"}'}, "its label has a line break or another control"),
        (
            {"x.jpg": b"", "x.json": b'{"url": 1, "w": 2}'},
            "its json has no label, only 'url', 'w'; set columns",
        ),
        ({"x.jpg": b"", "x.cls": b"1", "x.json": b" " * (2**20 + 1)}, "its json has more than 1,048,576 bytes"),
    ],
)
def test_samples_without_exactly_one_class_are_dropped(tmp_path: Path, members: dict[str, bytes], why: str) -> None:
    raw = read(write_tar(tmp_path / "a.tar", {**make_shard_members(), **members}))
    assert len(raw.samples) == 6
    assert [item.file for item in raw.dropped] == ["a.tar/x"]
    assert re.search(why, raw.dropped[0].why)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"label": "species"}, "its json has no species, only 'fold', 'label'"),
        ({"split": "fold"}, "its 'fold' is 'seven', expected train, val or test"),
        ({"group": "patient"}, "its 'patient' is None, expected a short text or a number"),
    ],
)
def test_samples_without_the_requested_fields_are_dropped(tmp_path: Path, columns: dict[str, str], why: str) -> None:
    complete = json.dumps({"label": "ant", "species": "a", "fold": "train", "patient": 1}).encode()
    files = {
        "x.jpg": make_jpg(0),
        "x.json": json.dumps({"label": "ant", "fold": "seven"}).encode(),
        "y.jpg": make_jpg(1),
        "y.json": complete,
    }
    raw = read(write_tar(tmp_path / "a.tar", files), **columns)
    assert [sample.key for sample in raw.samples] == ["a.tar/y"]
    assert dropped_reasons(raw)["a.tar/x"].startswith(why)


def test_members_of_one_key_that_are_not_consecutive_are_dropped(tmp_path: Path) -> None:
    raw = read(
        write_tar(
            tmp_path / "a.tar",
            {**make_shard_members(), "x.jpg": make_jpg(0), "y.jpg": make_jpg(1), "y.cls": b"1", "x.cls": b"1"},
        )
    )
    assert [item.why[:22] for item in raw.dropped] == ["an image without a lab", "its key occurs twice i"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"owl\n", r"class number 1, but the list of class names next to the shards ends at 0 \(its first line is"),
        (b"owl\nowl\n", "classes.txt: classes 0 and 1 have the same name 'owl'"),
        (b"owl\n\nant", "classes.txt: the name of class 1 is empty"),
        (b"\xff\xfe", "classes.txt: not a list of class names .*expected UTF-8 text"),
    ],
)
def test_an_inconsistent_class_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (write_shards(tmp_path) / "classes.txt").write_bytes(content)
    refused(tmp_path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "classes.json: not a list of class names"),
        (b"[" * 100_000, "not a list of class names"),
        (b'{"owl": 0, "ant": 1}', "expected a JSON list of names, or an object that maps 0, 1, 2"),
        (b"[1, 2]", "class 0 is 1, expected a name"),
    ],
)
def test_an_invalid_json_class_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (write_shards(tmp_path) / "classes.json").write_bytes(content)
    refused(tmp_path, message)


def test_an_oversized_class_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_list, "MAX_BYTES", 3)
    (write_shards(tmp_path) / "classes.txt").write_bytes(b"owl\nant\n")
    refused(tmp_path, "8 bytes; a list of class names may have at most 3")


def test_data_without_shards_or_samples_are_refused(tmp_path: Path) -> None:
    refused(
        write_folder(tmp_path / "a", make_images(CLASS_FILES)), r"no shards among 8 files; expected names such as NAME-"
    )
    refused(
        write_tar(tmp_path / "b.tar", make_images(CLASS_FILES)),
        r"no image with a label in 1 shards: b.tar/ants/0: an image without a label; .*expected consecutive members",
    )
    refused(write_tar(tmp_path / "c.tar", {}), "no image with a label in 1 shards; expected")


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("../0000.jpg", "climbs out with '..'"),
        ("/etc/0000.jpg", "an absolute path"),
        ("a\\b.jpg", "a backslash"),
        ("0000.JPG", "differ only by case"),
        ("new\nline.jpg", "a control character"),
    ],
)
def test_unsafe_member_names_are_refused(tmp_path: Path, suffix: str, member: str, why: str) -> None:
    refused(write_tar(tmp_path / f"a{suffix}", {**make_shard_members(), member: make_jpg(0)}), why)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_links_and_devices_are_refused(tmp_path: Path, suffix: str, kind: bytes) -> None:
    info = tarfile.TarInfo("evil.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(write_tar(tmp_path / f"a{suffix}", make_shard_members(), (info,)), "is a link|neither a file nor a folder")


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    refused(
        write_tar(tmp_path / "a.tar.gz", {**make_shard_members(), "x.jpg": bytes(80 * 2**20)}),
        "more than 100 times as many",
    )


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_truncated_shard_is_refused_by_name(tmp_path: Path, suffix: str, keep: float) -> None:
    data_path = write_shards(tmp_path, suffix) / f"train-000001{suffix}"
    write_tar(
        data_path, {f"{number}.{kind}": make_png(number, (90, 90)) for number in range(9) for kind in ("jpg", "cls")}
    )
    data_path.write_bytes(data_path.read_bytes()[: int(keep * data_path.stat().st_size)])
    refused(tmp_path, f"train-000001{suffix}: (damaged|incomplete or damaged tar)")


def test_an_empty_shard_is_refused(tmp_path: Path) -> None:
    (write_shards(tmp_path) / "train-000002.tar").touch()
    refused(tmp_path, "train-000002.tar: incomplete or damaged tar")


def test_a_header_of_negative_size_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x.jpg")
    info.pax_headers = {"size": "-4096"}
    refused(write_tar(tmp_path / "a.tar", make_shard_members(), (info,)), "a header declares -4,096 bytes")


def test_a_shard_that_links_outside_the_folder_is_dropped(tmp_path: Path) -> None:
    write_tar(tmp_path / "secret.tar", make_shard_members())
    data_path = write_shards(tmp_path / "set")
    (data_path / "train-000009.tar").symlink_to(tmp_path / "secret.tar")
    raw = read(data_path)
    assert dropped_reasons(raw) == {"train-000009.tar": "a link to a file outside the folder"}
    assert len(raw.samples) == 18


def test_names_that_are_not_utf8_are_escaped_and_distinct(tmp_path: Path) -> None:
    raw = read(
        write_tar(
            tmp_path / "a.tar", {f"{stem}.{kind}": b"1" for stem in ("a\udce4", "a\udcf6") for kind in ("jpg", "cls")}
        )
    )
    assert [sample.key for sample in raw.samples] == ["a.tar/a\\udce4", "a.tar/a\\udcf6"]


def test_a_name_with_many_slashes_is_parsed() -> None:
    assert fields.parse_name("a/" * 400_000 + "b") is None


def _mutated(content: bytes, changes: list[tuple[int, int]], keep: int) -> bytes:
    mutable = bytearray(content)
    for position, value in changes:
        mutable[position % len(mutable)] = value
    return bytes(mutable[:keep])


def _shard(kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as opened:
        for name, content in {**make_shard_members(2), f"{'ä' * 20}/{'ä' * 35}.cls": b"1"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()


_WHOLE = [_shard(kind) for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=2000),
        st.builds(
            _mutated,
            st.sampled_from(_WHOLE),
            st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=6),
            st.integers(0, 20_000),
        ),
    ),
    st.booleans(),
)
def test_arbitrary_bytes_are_read_or_refused(tmp_path: Path, content: bytes, packed: bool) -> None:
    data_path = tmp_path / "a.tar"
    data_path.write_bytes(gzip.compress(content, 1) if packed else content)
    FORMAT.detect(locate(data_path))
    message = str(tmp_path)
    try:
        with FORMAT.open(locate(data_path)) as raw:
            for sample in raw.samples:
                assert read_bytes(sample) is not None
    except RefusedError as error:
        message = str(error)
    assert str(tmp_path) in message
