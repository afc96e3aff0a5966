import base64
from pathlib import Path

import pytest

from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.access import FileInfo
from tests.builders.raw_data import write_folder

FILES = {"b/2.txt": b"two", "a.txt": b"123456789", "b/empty": b""}


def test_lists_a_folder_with_sizes_and_checksums(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "data", FILES)
    found = access.listing(str(place))
    assert [(entry.name, entry.size) for entry in found] == [("a.txt", 9), ("b/2.txt", 3), ("b/empty", 0)]
    assert found[0].crc32c == base64.b64encode(bytes.fromhex("e3069283")).decode()  # the check value of CRC-32C
    assert access.listing(place.as_uri()) == found


def test_lists_a_single_file_by_its_own_name(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "data", FILES) / "a.txt"
    assert access.listing(str(place)) == [FileInfo("a.txt", 9, "4waSgw==")]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    place = write_folder(tmp_path / "data", FILES)
    os.mkfifo(place / "pipe")
    assert len(access.listing(str(place))) == 3


def test_local_places_are_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "with space", FILES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert access.local("with space", None) == Path("with space")
    assert access.local((tmp_path / "with space").as_uri(), None) == tmp_path / "with space"
    assert access.local("~/with space", None) == tmp_path / "with space"
    assert access.exists("with space/a.txt")
    assert not access.exists("elsewhere")


def test_a_missing_place_is_refused_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match=f"flowers: there is no such file or folder in {tmp_path}"):
        access.local("flowers", None)


@pytest.mark.parametrize(
    "uri",
    [
        "gs://bucket/../other",
        "gs://bucket/a\nb",
        "gs://bucket//a",
        "gs://Bucket_!/a",
        "gs://",
        "gs:///a",
        "gs://b/\\a",
        "file:///tmp/../etc/passwd",
        "file:///tmp/%2e%2e/etc",
        "file://host/tmp",
        "s3://bucket/a",
        "http://host/a",
        "a\nb",
    ],
)
def test_uris_that_are_not_well_formed_are_refused(uri: str, tmp_path: Path) -> None:
    for ask in (access.exists, access.listing, lambda place: access.local(place, tmp_path)):
        with pytest.raises(RefusedError, match=r"not a well-formed|not a local path|a NUL or a newline"):
            ask(uri)


def test_gs_needs_a_folder_to_download_to() -> None:
    with pytest.raises(RefusedError, match="gs://bucket/a: in a bucket; give a local copy here"):
        access.local("gs://bucket/a", None)


def test_put_makes_a_file_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    place = write_folder(tmp_path / "data", FILES)
    for _ in range(2):
        access.put(place / "a.txt", str(tmp_path / "store/new/a.txt"))
    assert (tmp_path / "store/new/a.txt").read_bytes() == b"123456789"
    with pytest.raises(RefusedError, match="another file is there already; nothing is overwritten"):
        access.put(place / "b/2.txt", (tmp_path / "store/new/a.txt").as_uri())
    assert [path.name for path in (tmp_path / "store/new").iterdir()] == ["a.txt"]
