"""End to end against gcp-storage-emulator, an HTTP server of Cloud Storage's interface that is not ours."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from google.cloud.storage import Client

from graftline.runtime.errors import RefusedError
from graftline.steps.fingerprint import fingerprint_uri
from graftline.storage import access
from tests.builders.raw_data import write_folder

FILES = {"b/2.txt": b"two", "a.txt": b"123456789", "b/empty": b"", "c d/ä%2F.bin": random.Random(0).randbytes(300_000)}

_GROWN = """
import resource, sys
from pathlib import Path
from graftline.storage import access
access.listing("gs://bucket/flat")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
access.local("gs://bucket/flat/zeros", Path(sys.argv[1]) / "cache")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""

pytestmark = pytest.mark.usefixtures("emulator")


def uploaded(place: str, files: dict[str, bytes]) -> str:
    blobs = Client().bucket("bucket")
    for name, content in files.items():
        blobs.blob(f"{place}/{name}").upload_from_string(content)
    return f"gs://bucket/{place}"


def test_a_folder_and_its_copy_in_a_bucket_are_listed_alike(tmp_path: Path) -> None:
    here = write_folder(tmp_path / "set", FILES)
    there = uploaded("alike/set", FILES)
    found = access.listing(there)
    assert [(entry.name, entry.size, entry.crc32c) for entry in found] == [
        (entry.name, entry.size, entry.crc32c) for entry in access.listing(str(here))
    ]
    assert all(entry.generation > 0 for entry in found)
    assert fingerprint_uri(there) == fingerprint_uri(str(here))


def test_a_prefix_comes_here_whole(tmp_path: Path) -> None:
    place = uploaded("whole/set", FILES)
    uploaded("whole/set-2", {"other": b"1"})
    assert access.exists(place)
    folder = access.local(place, tmp_path)
    assert folder == tmp_path / "set"
    assert {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } == FILES


def test_a_large_object_comes_here_whole(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(40 * 2**20 + 1)
    (tmp_path / "data.tar").write_bytes(content)
    access.put(tmp_path / "data.tar", "gs://bucket/large/data.tar")
    assert access.local("gs://bucket/large/data.tar", tmp_path / "cache") == tmp_path / "cache/data.tar"
    assert (tmp_path / "cache/data.tar").read_bytes() == content
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["data.tar"]


def test_what_is_here_is_kept_and_what_was_damaged_here_comes_again(tmp_path: Path) -> None:
    place = uploaded("again", FILES)
    folder = access.local(place, tmp_path)
    before = {name: (folder / name).stat() for name in FILES}
    (folder / "a.txt").write_bytes(b"123456780")
    (folder / "b/empty").unlink()
    access.fetch(place, access.listing(place), folder)
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    again = {name for name in FILES if (folder / name).stat().st_ino != before[name].st_ino}
    assert again <= {"a.txt", "b/empty"}
    assert "a.txt" in again


def test_an_object_that_was_replaced_after_its_listing_is_refused(tmp_path: Path) -> None:
    place = uploaded("replaced", FILES)
    entries = access.listing(place)
    uploaded("replaced", {"a.txt": b"987654321"})
    with pytest.raises(RefusedError, match=r"gs://bucket/replaced/a.txt: its bytes came damaged 3 times"):
        access.fetch(place, entries, tmp_path)
    assert (tmp_path / "b/2.txt").read_bytes() == b"two"
    assert not (tmp_path / "a.txt").exists()


def test_two_fetches_to_one_folder_wait_for_each_other(tmp_path: Path) -> None:
    place = uploaded("two", FILES)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(lambda _: access.local(place, tmp_path), range(4)))
    assert folders == {tmp_path / "two"}
    assert {name: (tmp_path / "two" / name).read_bytes() for name in FILES} == FILES


def test_memory_stays_flat_however_large_an_object_is(tmp_path: Path) -> None:
    with (tmp_path / "zeros").open("wb") as file:
        file.truncate(160 * 2**20)
    access.put(tmp_path / "zeros", "gs://bucket/flat/zeros")
    grown = subprocess.run([sys.executable, "-c", _GROWN, str(tmp_path)], check=True, capture_output=True).stdout
    assert int(grown) < 30 * 2**20


def test_rows_that_are_uris(tmp_path: Path) -> None:
    place = uploaded("rows", FILES)
    uris = [f"{place}/b/2.txt", f"{place}/a.txt", f"{place}/none.txt", f"{place}/nowhere/none.txt"]
    assert [entry.name for entry in access.listing_of(uris)] == [uris[1], uris[0]]
    found = access.fetch_uris(uris, tmp_path)
    assert {uri: path.read_bytes() for uri, path in found.items()} == {uris[0]: b"two", uris[1]: b"123456789"}


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    assert not access.exists("gs://bucket/none")
    for place, why in (
        ("gs://bucket/none", "there is no such object, and none below it"),
        ("gs://no-such-bucket/a", "there is no such bucket"),
    ):
        with pytest.raises(RefusedError, match=f"{place}: {why}"):
            access.local(place, tmp_path)
