"""Listings: pages, single objects, generations, and objects that are named one by one."""

from pathlib import Path

import pytest

from graftline.storage import access
from graftline.storage.access import FileInfo
from tests.builders.fake_bucket import Bucket

MANY = 100_000


def test_100_000_objects_cost_a_listing_and_no_download(bucket: Bucket) -> None:
    bucket.objects = {f"set/{number % 100:02}/{number:06}.jpg": b"picture" for number in range(MANY)}
    entries = access.listing("gs://bucket/set")
    assert len(entries) == MANY
    assert entries[0] == FileInfo("00/000000.jpg", 7, entries[1].crc32c, 1)
    assert [what for what, _, _ in bucket.asked] == ["about"] + ["list"] * (MANY // bucket.page)


def test_neighbors_and_folder_markers_are_not_listed(bucket: Bucket) -> None:
    bucket.objects = {"set": b"", "set/": b"", "set/a": b"1", "set/b/": b"", "set/b/c": b"2", "set-2/d": b"3"}
    del bucket.objects["set"]
    assert [entry.name for entry in access.listing("gs://bucket/set/")] == ["a", "b/c"]
    assert [entry.name for entry in access.listing("gs://bucket")] == ["set-2/d", "set/a", "set/b/c"]
    assert access.exists("gs://bucket/set/b")
    assert not access.exists("gs://bucket/se")


def test_a_single_object_has_its_own_name_and_generation(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects["folder/a"] = b"1"
    bucket.replace("folder/a", b"123456789")
    assert access.listing("gs://bucket/folder/a") == [FileInfo("a", 9, "4waSgw==", 2)]
    access.fetch("gs://bucket/folder/a", access.listing("gs://bucket/folder/a"), tmp_path)
    assert (tmp_path / "a").read_bytes() == b"123456789"


def test_a_prefix_that_holds_one_object_of_its_own_name(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects["cats/cats"] = b"1"
    assert access.local("gs://bucket/cats", tmp_path / "all") == tmp_path / "all/cats"
    access.fetch("gs://bucket/cats", access.listing("gs://bucket/cats"), tmp_path / "one")
    assert (tmp_path / "all/cats/cats").read_bytes() == (tmp_path / "one/cats").read_bytes() == b"1"


def test_rows_cost_a_page_for_each_thousand_of_their_folder_at_most(bucket: Bucket, tmp_path: Path) -> None:
    bucket.objects = {f"set/{folder}/{number:05}": b"picture" for folder in "ab" for number in range(10_000)}
    uris = [f"gs://bucket/set/a/{number:05}" for number in (3, 7, 5000, 9999, 10_001)] + ["gs://bucket/set/b/00001"]
    found = access.fetch_uris(uris, tmp_path)
    assert list(found) == [uri for uri in uris if not uri.endswith("10001")]
    assert found[uris[0]] == tmp_path / "bucket/set/a/00003"
    assert sum(what == "list" for what, _, _ in bucket.asked) == 4
    assert len(bucket.fetched()) == 5
    every = [f"gs://bucket/set/a/{number:05}" for number in range(10_000)]
    bucket.asked = []
    assert [entry.name for entry in access.listing_of(every)] == every
    assert sum(what == "list" for what, _, _ in bucket.asked) == 10


@pytest.mark.parametrize("uris", [[], ["gs://bucket/none", "gs://bucket", "gs://bucket/no/folder/here"]])
def test_rows_that_are_not_there_are_left_out(bucket: Bucket, tmp_path: Path, uris: list[str]) -> None:
    bucket.objects["zebra"] = b"1"
    assert access.fetch_uris(uris, tmp_path) == {}
    assert access.listing_of(uris) == []
