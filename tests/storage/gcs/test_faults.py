"""What goes wrong on the way: each has its message, or heals, and never is what arrived fetched again."""

import random
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.access import FileInfo
from graftline.storage.gcs import partial_files
from graftline.storage.gcs.partial_files import Wanted
from tests.builders.fake_bucket import ALWAYS, Bucket, How, What

FILES = {f"set/{number:02}.bin": random.Random(number).randbytes(1000 + number) for number in range(40)}
BAD = "set/20.bin"


@pytest.fixture
def large(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """An object of 11 pieces, `large`."""
    monkeypatch.setattr("graftline.storage.gcs.partial_files.PIECE", 10_000)
    monkeypatch.setattr("graftline.storage.gcs.download.PIECE", 10_000)
    bucket.objects["large"] = random.Random(1).randbytes(105_000)
    return bucket.objects["large"]


def here(folder: Path) -> dict[str, bytes]:
    return {"set/" + path.name: path.read_bytes() for path in folder.glob("*.bin")}


@pytest.mark.parametrize("how", [408, 429, 500, 502, 503, 504, "cut", "reset", "corrupt"])
def test_what_passes_is_healed(bucket: Bucket, tmp_path: Path, how: How) -> None:
    bucket.objects |= FILES
    for name in (BAD, "set/00.bin"):
        bucket.fail("media", how, times=2, name=name)
    assert here(access.local("gs://bucket/set", tmp_path)) == FILES
    assert len(bucket.fetched()) == len(FILES) + 4


@pytest.mark.parametrize("how", [503, "cut", "reset", "corrupt"])
def test_what_passes_is_healed_in_a_large_object(bucket: Bucket, large: bytes, tmp_path: Path, how: How) -> None:
    bucket.fail("media", how, times=2)
    assert access.local("gs://bucket/large", tmp_path).read_bytes() == large


def test_a_broken_connection_goes_on_where_it_broke(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects["object"] = random.Random(2).randbytes(3 * 2**20)
    bucket.fail("media", "cut")
    assert access.local("gs://bucket/object", tmp_path).read_bytes() == bucket.objects["object"]
    assert [range for what, _, range in bucket.asked if what == "media"] == ["", f"bytes={3 * 2**19}-{3 * 2**20 - 1}"]


@pytest.mark.usefixtures("impatient")
def test_patience_begins_anew_with_each_byte_that_comes(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects["object"] = random.Random(3).randbytes(24 * 2**20)
    bucket.fail("media", "stall", times=3)
    assert access.local("gs://bucket/object", tmp_path).read_bytes() == bucket.objects["object"]


@pytest.mark.parametrize("what", ["list", "about"])
def test_a_listing_survives_a_bad_moment(bucket: Bucket, what: What) -> None:
    bucket.objects |= FILES
    for how in (503, 429, "reset"):
        bucket.fail(what, how)
    assert len(access.listing("gs://bucket/set")) == len(FILES)


@pytest.mark.usefixtures("impatient")
def test_a_stall_is_healed(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= FILES
    bucket.fail("media", "stall", name=BAD)
    assert here(access.local("gs://bucket/set", tmp_path)) == FILES


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("how", "why"),
    [
        (503, r"no answer in 0 s \(the last was 503\); try again, what has arrived is kept"),
        (429, r"no answer in 0 s \(the last was 429\)"),
        ("cut", r"no answer in 0 s \(the last was \w+Error\)"),
        ("stall", r"no answer in 0 s \(the last was ReadTimeoutError\)"),
        ("reset", r"no answer in 0 s \(the last was \w+Error\)"),
        ("corrupt", "its bytes came damaged 3 times, by the checksum that was listed; check the network"),
        (403, r"not permitted \(403\); give this account storage.objects.list and .get on the bucket"),
        (404, "there is no such bucket, or the object went away or was replaced since it was listed"),
        (412, "the object was replaced meanwhile; run again"),
        (400, r"the service refused \(400\)"),
    ],
)
def test_what_stays_is_refused_and_what_arrived_is_kept(bucket: Bucket, tmp_path: Path, how: How, why: str) -> None:
    bucket.objects |= FILES
    bucket.fail("media", how, times=ALWAYS, name=BAD)
    with pytest.raises(RefusedError, match=f"gs://bucket/{BAD}: {why}"):
        access.local("gs://bucket/set", tmp_path)
    arrived = here(tmp_path / "set")
    assert arrived == {name: content for name, content in FILES.items() if name in arrived}
    assert BAD not in arrived
    bucket.faults, bucket.asked = [], []
    assert here(access.local("gs://bucket/set", tmp_path)) == FILES
    assert set(bucket.fetched()) == FILES.keys() - arrived.keys()
    assert not (tmp_path / "set/.arriving").exists()


@pytest.mark.usefixtures("impatient")
def test_half_of_a_large_object_is_not_fetched_again(bucket: Bucket, large: bytes, tmp_path: Path) -> None:
    bucket.before = lambda what, name: bucket.fail("media", "cut", ALWAYS) if len(bucket.fetched()) == 5 else None
    with pytest.raises(RefusedError, match=r"gs://bucket/large: no answer"):
        access.local("gs://bucket/large", tmp_path)
    assert not (tmp_path / "large").exists()
    bucket.before, bucket.faults, bucket.asked = lambda what, name: None, [], []
    assert access.local("gs://bucket/large", tmp_path).read_bytes() == large
    assert 0 < len(bucket.fetched()) <= 7
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


def test_a_large_object_that_is_all_here_but_for_its_name_lands(bucket: Bucket, large: bytes, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    with pytest.raises(RefusedError, match="Is a directory; remove it"):
        access.local("gs://bucket/large", tmp_path)
    (tmp_path / "large").rmdir()
    assert access.local("gs://bucket/large", tmp_path).read_bytes() == large
    assert len(bucket.fetched()) == 11


@pytest.mark.usefixtures("impatient")
def test_half_of_a_large_object_that_was_damaged_here_is_fetched_again(
    bucket: Bucket, large: bytes, tmp_path: Path
) -> None:
    bucket.before = lambda what, name: bucket.fail("media", 503, ALWAYS) if len(bucket.fetched()) == 5 else None
    with pytest.raises(RefusedError, match="no answer"):
        access.local("gs://bucket/large", tmp_path)
    for path in (tmp_path / ".arriving").glob("*/*"):
        path.write_bytes(path.read_bytes().translate(bytes(range(1, 256)) + b"\0"))
    bucket.before, bucket.faults, bucket.asked = lambda what, name: None, [], []
    assert access.local("gs://bucket/large", tmp_path).read_bytes() == large
    assert len(bucket.fetched()) == 11


def test_a_large_object_that_always_comes_damaged_is_refused(bucket: Bucket, large: bytes, tmp_path: Path) -> None:
    bucket.fail("media", "corrupt", ALWAYS)
    with pytest.raises(RefusedError, match="gs://bucket/large: its bytes came damaged 3 times"):
        access.local("gs://bucket/large", tmp_path)
    assert not (tmp_path / "large").exists()
    assert len(bucket.fetched()) == 33


@pytest.mark.parametrize("name", ["set/20.bin", "large"])
def test_an_object_replaced_during_the_download_is_refused(
    bucket: Bucket, large: bytes, tmp_path: Path, name: str
) -> None:
    bucket.objects |= FILES
    entries = access.listing("gs://bucket")

    def replace(what: str, asked: str) -> None:
        if asked == name and what == "media" and bucket.generations.get(name, 1) == 1:
            bucket.replace(name, b"new")

    bucket.before = replace
    with pytest.raises(RefusedError, match=f"gs://bucket/{name}: .* was replaced since it was listed; check the name"):
        access.fetch("gs://bucket", entries, tmp_path)
    assert not (tmp_path / name).exists()
    access.fetch("gs://bucket", access.listing("gs://bucket"), tmp_path)
    assert (tmp_path / name).read_bytes() == b"new"


def test_after_one_failure_no_other_object_is_asked_for(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= {f"many/{number:04}": b"1" for number in range(1000)}
    bucket.fail("media", 403, ALWAYS)
    with pytest.raises(RefusedError, match="not permitted"):
        access.local("gs://bucket/many", tmp_path)
    assert len(bucket.fetched()) < 100


@pytest.mark.parametrize("what", ["list", "about"])
def test_a_bucket_that_may_not_be_read(bucket: Bucket, tmp_path: Path, what: What) -> None:
    bucket.fail(what, 403, ALWAYS)
    with pytest.raises(RefusedError, match=r"gs://bucket/set: not permitted \(403\); give this account storage"):
        access.local("gs://bucket/set", tmp_path)


def test_a_bucket_that_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    for ask in (
        access.listing,
        access.exists,
        lambda place: access.local(place, tmp_path),
        lambda place: access.fetch_uris([place], tmp_path),
        lambda place: access.listing_of([place]),
    ):
        with pytest.raises(RefusedError, match=r"gs://other(/a)?: there is no such bucket"):
            ask("gs://other/a")


def test_too_little_room_is_refused_before_anything_is_fetched(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.objects |= FILES
    usage = namedtuple("usage", "total used free")(10**6, 10**6 - 5000, 5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(
        RefusedError, match=f"gs://bucket/set: 40,780 bytes to fetch, and 5,000 bytes free in {tmp_path}/set; make room"
    ):
        access.local("gs://bucket/set", tmp_path)
    assert not bucket.fetched()


def test_a_full_disk_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= FILES
    entry = access.listing(f"gs://bucket/{BAD}")[0]
    partial = tmp_path / ".arriving" / partial_files._key(Wanted(BAD, entry, tmp_path / "20.bin"))
    partial.parent.mkdir(parents=True)
    partial.symlink_to("/dev/full")
    with pytest.raises(RefusedError, match=f"gs://bucket/{BAD}: the disk is full; make room and run again"):
        access.fetch("gs://bucket/set", access.listing("gs://bucket/set"), tmp_path)
    assert not (tmp_path / "20.bin").exists()


def test_what_is_in_the_way_is_told(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= {"set/a": b"1", "set/b/c": b"2"}
    (tmp_path / "set/a").mkdir(parents=True)
    with pytest.raises(RefusedError, match=r"gs://bucket/set/a: .*: Is a directory; remove it, or set another folder"):
        access.local("gs://bucket/set", tmp_path)
    (tmp_path / "set/a").rmdir()
    (tmp_path / "set/b/c").unlink(missing_ok=True)
    (tmp_path / "set/b").rmdir()
    (tmp_path / "set/b").write_bytes(b"")
    with pytest.raises(RefusedError, match=r"gs://bucket/set: .*/b: File exists; remove it"):
        access.local("gs://bucket/set", tmp_path)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("set/../evil", "climbs out"),
        ("set//etc/passwd", "has an absolute path"),
        ("set/a/../../b", "climbs out"),
        ("set/a//b", "has an empty part"),
        ("set/./b", "has an empty part or '.'"),
        ("set/C:/x", "has a drive letter"),
        ("set/a\nb", "has a control character"),
        ("set/a\\b", "has a backslash"),
        ("set/" + "x" * 256, "of more than 255"),
        ("set/a/.arriving/x", "the name of the folder where files arrive"),
    ],
)
def test_objects_whose_names_cannot_be_files_are_refused(bucket: Bucket, tmp_path: Path, name: str, why: str) -> None:
    bucket.objects |= {name: b"1", "set/good": b"2"}
    with pytest.raises(RefusedError, match=rf"gs://bucket/set: the object .* {why}.*; rename it in the bucket"):
        access.local("gs://bucket/set", tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RefusedError, match=why):
        access.fetch("gs://bucket/set", [FileInfo(name.removeprefix("set/"), 1, "AAAAAA==", 1)], tmp_path)


def test_an_object_that_has_the_name_of_a_folder_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects |= {"set/a": b"1", "set/a/b/c": b"2"}
    with pytest.raises(RefusedError, match="gs://bucket/set: the object 'a' and those below 'a/' cannot both be files"):
        access.local("gs://bucket/set", tmp_path)
