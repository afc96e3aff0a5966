"""Copies into a store: nothing is overwritten, a lost answer is no failure, a wrong place is refused."""

import random
from pathlib import Path

import pytest

from graftline.config.jobs import ReleaseJob
from graftline.release import artifact
from graftline.runtime.errors import RefusedError
from graftline.steps.release import release as step
from graftline.storage import access
from graftline.storage.gcs import client
from tests.builders.artifacts import write_run
from tests.builders.fake_bucket import ALWAYS, Bucket, How


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights" * 1000)
    return path


def test_put_into_a_bucket(bucket: Bucket, file: Path) -> None:
    access.put(file, "gs://bucket/releases/a b/model.onnx")
    access.put(file, "gs://bucket/releases/a b/model.onnx")
    assert bucket.objects == {"releases/a b/model.onnx": file.read_bytes()}


def test_put_a_large_file_into_a_bucket(bucket: Bucket, file: Path) -> None:
    file.write_bytes(bytes(9 * 2**20))
    access.put(file, "gs://bucket/large")
    assert len(bucket.objects["large"]) == 9 * 2**20


def test_put_overwrites_nothing(bucket: Bucket, file: Path, tmp_path: Path) -> None:
    bucket.objects["name"] = b"other"
    with pytest.raises(RefusedError, match="another object is there already"):
        access.put(file, "gs://bucket/name")
    (tmp_path / "there").write_bytes(b"other")
    with pytest.raises(RefusedError, match="another file is there already"):
        access.put(file, str(tmp_path / "there"))
    assert bucket.objects["name"] == b"other"


def test_put_survives_a_lost_answer(bucket: Bucket, file: Path) -> None:
    bucket.fail("upload", "lost")
    access.put(file, "gs://bucket/name")
    assert bucket.objects["name"] == file.read_bytes()


@pytest.mark.parametrize("how", [408, 429, 500, 503, "reset"])
def test_put_survives_a_bad_moment(bucket: Bucket, file: Path, how: How) -> None:
    bucket.fail("upload", how, times=2)
    access.put(file, "gs://bucket/name")
    assert bucket.objects["name"] == file.read_bytes()


def test_half_an_upload_is_no_object_and_is_made_whole(
    bucket: Bucket, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "DEADLINE", 0.2)
    file.write_bytes(random.Random(0).randbytes(40 * 2**20))
    bucket.before = lambda what, name: bucket.fail("upload", "reset", ALWAYS) if bucket.uploads.get(name) else None
    with pytest.raises(RefusedError, match=r"gs://bucket/large: no answer in 0 s"):
        access.put(file, "gs://bucket/large")
    assert bucket.uploads["large"]
    assert not access.exists("gs://bucket/large")
    bucket.before, bucket.faults = lambda what, name: None, []
    access.put(file, "gs://bucket/large")
    assert bucket.objects["large"] == file.read_bytes()


def test_put_into_a_bucket_that_may_not_be_written(bucket: Bucket, file: Path) -> None:
    bucket.fail("upload", 403)
    with pytest.raises(RefusedError, match=r"gs://bucket/name: not permitted \(403\); give .* storage.objects.create"):
        access.put(file, "gs://bucket/name")
    with pytest.raises(RefusedError, match="gs://other/name: there is no such bucket"):
        access.put(file, "gs://other/name")


@pytest.mark.parametrize("place", ["gs://bucket/../x", "gs://bucket/a\nb", "ftp://x/y", "gs://B@D/x"])
def test_put_refuses_other_places(file: Path, place: str) -> None:
    with pytest.raises(RefusedError):
        access.put(file, place)


def test_a_release_in_a_bucket_comes_back_whole(bucket: Bucket, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    written = step(
        ReleaseJob(store="gs://bucket/store/", delta=0.01),
        **run.paths("dataset", "onnx", "evaluation", "gate", "chosen"),
        out=tmp_path / "release",
    )
    place = f"gs://bucket/store/releases/{written.version}"
    assert list(artifact.verify(access.local(place, tmp_path / "cache")))
