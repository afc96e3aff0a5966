import gzip
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graftline.config import Columns
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming import class_list
from graftline.data.formats.raw import RawDataset
from graftline.data.formats.webdataset import FORMAT, fields
from graftline.runtime.errors import RefusedError
from tests.builders.raw_data import PLAIN, at, folder_of, pictures, png, tar_of
from tests.builders.raw_records import jpg, shards, wds


def read(path: Path, **columns: str) -> RawDataset:
    with FORMAT.read(DataLocation(str(path), path, None, Columns(**columns))) as raw:
        return raw


def faults(raw: RawDataset) -> dict[str, str]:
    return {fault.file: fault.why for fault in raw.faults}


def refused(path: Path, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"x.jpg": b""}, "an image and no label; expected a field cls, cls2, label, class, json, txt beside it"),
        ({"x.cls": b"1"}, r"a label \(cls\) and no image beside it"),
        ({"x.jpg": b"", "x.mask.png": b"", "x.cls": b"1"}, r"2 images \(jpg, mask.png\); classification needs one"),
        ({"x.jpg": b"", "x.cls": b"cat"}, "its cls is 'cat', expected the number of a class, 0 or more"),
        ({"x.jpg": b"", "x.cls": b"-1"}, "its cls is '-1', expected the number"),
        ({"x.jpg": b"", "x.cls": b"9" * 5000}, "expected the number"),
        ({"x.jpg": b"", "x.cls": "٣".encode()}, "expected the number"),
        ({"x.jpg": b"", "x.cls": b"\xff\xfe"}, "its cls is no UTF-8 text"),
        ({"x.jpg": b"", "x.txt": b"  \n"}, "its txt is empty"),
        ({"x.jpg": b"", "x.txt": b"a\nb"}, "its txt has a line break or another control character: 'a"),
        ({"x.jpg": b"", "x.txt": b"words " * 100}, "its txt has 599 characters, a class's name has at most 256"),
        ({"x.jpg": b"", "x.txt": bytes(2**20 + 1)}, "its txt has more than 1,048,576 bytes"),
        ({"x.jpg": b"", "x.json": b'{"a": 1'}, "its json is damaged: Expecting ',' delimiter"),
        ({"x.jpg": b"", "x.json": b"[" * 100_000}, "its json is damaged"),
        ({"x.jpg": b"", "x.json": b'{"label": ["a", "b"]}'}, "the 'label' in its json is a list, expected a name or"),
        ({"x.jpg": b"", "x.json": b'{"label": 1.5}'}, "the 'label' in its json is 1.5, expected"),
        ({"x.jpg": b"", "x.json": b'{"label": "\\ud800"}'}, "its label has a line break or another control"),
        ({"x.jpg": b"", "x.json": b'{"url": 1, "w": 2}'}, "its json has no label; it has 'url', 'w'; name one under"),
        ({"x.jpg": b"", "x.cls": b"1", "x.json": b" " * (2**20 + 1)}, "its json has more than 1,048,576 bytes"),
    ],
)
def test_samples_without_one_class_are_faults(tmp_path: Path, members: dict[str, bytes], why: str) -> None:
    raw = read(tar_of(tmp_path / "a.tar", {**wds(), **members}))
    assert len(raw.samples) == 6
    assert [fault.file for fault in raw.faults] == ["a.tar/x"]
    assert re.search(why, raw.faults[0].why)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"label": "species"}, "its json has no species; it has 'fold', 'label'"),
        ({"split": "fold"}, "its 'fold' is 'seven', expected train, val or test"),
        ({"group": "patient"}, "its 'patient' is None, expected a short text or a number"),
    ],
)
def test_what_columns_ask_for_has_to_be_there(tmp_path: Path, columns: dict[str, str], why: str) -> None:
    whole = json.dumps({"label": "ant", "species": "a", "fold": "train", "patient": 1}).encode()
    files = {
        "x.jpg": jpg(0),
        "x.json": json.dumps({"label": "ant", "fold": "seven"}).encode(),
        "y.jpg": jpg(1),
        "y.json": whole,
    }
    raw = read(tar_of(tmp_path / "a.tar", files), **columns)
    assert [sample.key for sample in raw.samples] == ["a.tar/y"]
    assert faults(raw)["a.tar/x"].startswith(why)


def test_members_of_one_key_that_do_not_stand_together_are_faults(tmp_path: Path) -> None:
    raw = read(tar_of(tmp_path / "a.tar", {**wds(), "x.jpg": jpg(0), "y.jpg": jpg(1), "y.cls": b"1", "x.cls": b"1"}))
    assert [fault.why[:22] for fault in raw.faults] == ["an image and no label;", "stands twice in its sh"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"owl\n", r"has the class 1, and the file of class names beside the shards ends at 0 \(its first line is"),
        (b"owl\nowl\n", "classes.txt: the classes 0 and 1 are both called 'owl'"),
        (b"owl\n\nant", "classes.txt: the name of class 1 is empty"),
        (b"\xff\xfe", "classes.txt: not a list of class names .*expected UTF-8 text"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (shards(tmp_path) / "classes.txt").write_bytes(content)
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
def test_a_json_of_class_names_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (shards(tmp_path) / "classes.json").write_bytes(content)
    refused(tmp_path, message)


def test_too_long_a_file_of_class_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_list, "_MAX_BYTES", 3)
    (shards(tmp_path) / "classes.txt").write_bytes(b"owl\nant\n")
    refused(tmp_path, "8 bytes; a list of class names has at most 3")


def test_places_without_shards_or_samples_are_refused(tmp_path: Path) -> None:
    refused(folder_of(tmp_path / "a", pictures(PLAIN)), r"no shards among 8 files; expected NAME-000000.tar")
    refused(
        tar_of(tmp_path / "b.tar", pictures(PLAIN)),
        r"no image with a label in 1 shards: b.tar/ants/0: an image and no label; .*expected members such as",
    )
    refused(tar_of(tmp_path / "c.tar", {}), "no image with a label in 1 shards; expected")


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
def test_hostile_names_are_refused(tmp_path: Path, suffix: str, member: str, why: str) -> None:
    refused(tar_of(tmp_path / f"a{suffix}", {**wds(), member: jpg(0)}), why)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_links_and_devices_are_refused(tmp_path: Path, suffix: str, kind: bytes) -> None:
    info = tarfile.TarInfo("evil.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    refused(tar_of(tmp_path / f"a{suffix}", wds(), (info,)), "is a link|neither a file nor a folder")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    refused(tar_of(tmp_path / "a.tar.gz", {**wds(), "x.jpg": bytes(80 * 2**20)}), "more than 100 times as much")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_shard_cut_short_is_refused_by_name(tmp_path: Path, suffix: str, keep: float) -> None:
    place = shards(tmp_path, suffix) / f"train-000001{suffix}"
    tar_of(place, {f"{number}.{kind}": png(number, (90, 90)) for number in range(9) for kind in ("jpg", "cls")})
    place.write_bytes(place.read_bytes()[: int(keep * place.stat().st_size)])
    refused(tmp_path, f"train-000001{suffix}: (damaged|not a whole tar)")


def test_an_empty_file_is_no_shard(tmp_path: Path) -> None:
    (shards(tmp_path) / "train-000002.tar").touch()
    refused(tmp_path, "train-000002.tar: not a whole tar")


def test_a_header_of_negative_size_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x.jpg")
    info.pax_headers = {"size": "-4096"}
    refused(tar_of(tmp_path / "a.tar", wds(), (info,)), "a header claims -4,096 bytes")


def test_a_shard_that_is_a_link_out_is_a_fault(tmp_path: Path) -> None:
    tar_of(tmp_path / "secret.tar", wds())
    place = shards(tmp_path / "set")
    (place / "train-000009.tar").symlink_to(tmp_path / "secret.tar")
    raw = read(place)
    assert faults(raw) == {"train-000009.tar": "a link out of the folder"}
    assert len(raw.samples) == 18


def test_names_that_are_no_text_are_shown_and_told_apart(tmp_path: Path) -> None:
    raw = read(
        tar_of(
            tmp_path / "a.tar", {f"{stem}.{kind}": b"1" for stem in ("a\udce4", "a\udcf6") for kind in ("jpg", "cls")}
        )
    )
    assert [sample.key for sample in raw.samples] == ["a.tar/a\\udce4", "a.tar/a\\udcf6"]


def test_a_long_name_takes_no_long_time() -> None:
    assert fields.key_of("a/" * 400_000 + "b") is None


def _mutated(content: bytes, changes: list[tuple[int, int]], keep: int) -> bytes:
    mutable = bytearray(content)
    for position, value in changes:
        mutable[position % len(mutable)] = value
    return bytes(mutable[:keep])


def _shard(kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as opened:
        for name, content in {**wds(2), f"{'ä' * 20}/{'ä' * 35}.cls": b"1"}.items():
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
    place = tmp_path / "a.tar"
    place.write_bytes(gzip.compress(content, 1) if packed else content)
    FORMAT.found(at(place))
    message = str(tmp_path)
    try:
        with FORMAT.read(at(place)) as raw:
            for sample in raw.samples:
                assert sample.load().read() is not None  # type: ignore[union-attr]
    except RefusedError as error:
        message = str(error)
    assert str(tmp_path) in message
