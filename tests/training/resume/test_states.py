"""States outlive their process, whole or not at all, and only for the training that they are of."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graftline.runtime.errors import RefusedError
from graftline.training.resume.saves import TrainingState
from graftline.training.resume.states import bucket, folder, open_directory, state_files
from graftline.training.resume.states.state_files import TENSORS, OtherTrainingError, differences
from graftline.training.resume.states.store import StateDirectory
from tests.builders.fake_bucket import Bucket

IDENTITY = {"job": {"seed": 0}, "data": "sha256:a"}


def state(number: float) -> TrainingState:
    shared = torch.full((2, 3), number)
    return TrainingState(
        {"number": number, "worst": float("-inf")},
        {
            "w": shared,
            "again": shared,
            "image": torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
            "random": torch.get_rng_state(),
        },
    )


@pytest.fixture(params=["folder", "bucket"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "states")
    request.getfixturevalue("bucket")
    return "gs://bucket/states"


PLACES: list[StateDirectory] = []


@pytest.fixture(autouse=True)
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Ends the threads that renew leases while their bucket is still there."""
    if "bucket" in request.fixturenames or "uri" in request.fixturenames:
        request.getfixturevalue("bucket")
    yield
    while PLACES:
        PLACES.pop().close()


def opened(uri: str) -> StateDirectory:
    PLACES.append(open_directory(uri, IDENTITY))
    return PLACES[-1]


def test_a_written_state_is_read_back(uri: str) -> None:
    first = opened(uri)
    assert first.newest() is None
    first.write(state(1))
    first.write(state(2))
    first.close()
    found = opened(uri).newest()
    assert found is not None
    assert found.values == state(2).values
    assert found.tensors.keys() == state(2).tensors.keys()
    assert all(torch.equal(value, state(2).tensors[key]) for key, value in found.tensors.items())


def test_old_states_are_pruned(uri: str) -> None:
    place = opened(uri)
    for number in range(5):
        place.write(state(number))
    assert place.numbers() == [4, 5]


def test_a_second_run_reads_but_does_not_write(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "RENEWAL_INTERVAL", 0.02)
    first = opened(uri)
    first.write(state(1))
    second = opened(uri)
    assert second.newest() is not None
    second.write(state(2))
    assert first.numbers() == [1]
    first.close()
    third = opened(uri)
    third.write(state(3))
    assert third.numbers() == [1, 2]


def test_a_stale_lease_of_a_bucket_is_taken_over(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftline.training.resume.states import bucket as module

    first = opened("gs://bucket/states")
    first._folders._stopped.set()  # type: ignore[attr-defined]  # its thread ends, as with its process
    monkeypatch.setattr(module, "RENEWAL_INTERVAL", 0.02)
    monkeypatch.setattr(module, "LEASE_TIMEOUT", 1.0)
    second = opened("gs://bucket/states")
    second.write(state(2))
    assert second.numbers() == [1]


def test_a_lease_that_was_not_renewed_in_time_stops_writing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftline.training.resume.states import bucket as module

    first = opened("gs://bucket/states")
    assert first._folders.is_held()
    monkeypatch.setattr(module, "LEASE_TIMEOUT", module.RENEWAL_INTERVAL)
    first.write(state(1))
    assert first.numbers() == []


def test_a_lease_that_was_taken_over_stops_writing(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from graftline.training.resume.states import bucket as module

    monkeypatch.setattr(module, "RENEWAL_INTERVAL", 0.02)
    first = opened("gs://bucket/states")
    (lease,) = (name for name in bucket.objects if name.endswith("lease.json"))
    bucket.replace(lease, b"{}")
    limit = time.monotonic() + 10
    while first._folders.is_held() and time.monotonic() < limit:
        time.sleep(0.02)
    first.write(state(1))
    assert first.numbers() == []


@pytest.mark.parametrize("damage", ["flip", "cut", "no manifest", "no tensors"])
def test_the_previous_state_is_read_if_the_newest_is_damaged(tmp_path: Path, damage: str) -> None:
    first = opened(str(tmp_path))
    first.write(state(1))
    first.write(state(2))
    first.close()
    newest = max(tmp_path.glob("*/step-*"))
    spoil(newest, damage)
    found = opened(str(tmp_path)).newest()
    assert found is not None
    assert found.values["number"] == 1


def spoil(newest: Path, damage: str) -> None:
    tensors = newest / TENSORS
    content = tensors.read_bytes()
    if damage == "flip":
        tensors.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    elif damage == "cut":
        tensors.write_bytes(content[: len(content) // 2])
    elif damage == "no manifest":
        (newest / "manifest.json").unlink()
    else:
        tensors.unlink()


def test_an_incomplete_upload_is_ignored_and_its_number_is_not_reused(bucket: Bucket) -> None:
    place = opened("gs://bucket/states")
    place.write(state(1))
    for name in [name for name in bucket.objects if name.endswith("manifest.json")]:
        del bucket.objects[name]
    place.close()
    again = opened("gs://bucket/states")
    assert again.newest() is None
    again.write(state(2))
    found = again.newest()
    assert found is not None
    assert found.values["number"] == 2


def test_training_continues_without_a_state_if_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    place = opened(str(tmp_path))
    place.write(state(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with caplog.at_level("INFO"), monkeypatch.context() as patch:
        patch.setattr(folder, "_sync", full)
        place.write(state(2))
    assert "state not saved, training continues" in caplog.text
    assert [path.name for path in next(iter(tmp_path.iterdir())).glob(".new-*")] == []
    place.write(state(3))
    found = place.newest()
    assert found is not None
    assert found.values["number"] == 3


def test_training_continues_without_a_state_if_the_bucket_is_unreachable(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from graftline.storage.gcs import client

    place = opened("gs://bucket/states")
    monkeypatch.setattr(client, "DEADLINE", 0.05)
    bucket.fail("upload", 503, times=1000)
    with caplog.at_level("INFO"):
        place.write(state(1))
    assert "state not saved, training continues" in caplog.text


def test_a_complete_state_exists_after_a_kill_at_any_moment_of_a_save(tmp_path: Path) -> None:
    first = opened(str(tmp_path))
    first.write(state(0))
    first.close()
    for turn in range(20):
        child = os.fork()
        if not child:
            place = opened(str(tmp_path))
            number = place.newest().values["number"]  # type: ignore[union-attr]
            while True:
                number += 1
                place.write(state(number))
        time.sleep(0.003 * turn)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        place = opened(str(tmp_path))
        found = place.newest()
        place.close()
        assert found is not None
        assert bool((found.tensors["w"] == found.values["number"]).all())
    (own,) = tmp_path.iterdir()
    assert not list(own.glob(".new-*")), "what a killed run left behind is removed"


def test_a_state_of_another_training_is_refused_with_the_differences(tmp_path: Path) -> None:
    first = opened(str(tmp_path))
    first.write(state(1))
    first.close()
    (own,) = tmp_path.iterdir()
    other = open_directory(str(tmp_path), IDENTITY | {"data": "sha256:b"})
    (theirs,) = (path for path in tmp_path.iterdir() if path != own)
    shutil.copytree(own / "step-00000001", theirs / "step-00000001")
    with pytest.raises(OtherTrainingError, match=r'belongs to another training.*data was "sha256:a", is "sha256:b"'):
        other.newest()


def test_an_error_lists_only_the_first_differences(tmp_path: Path) -> None:
    state_files.write_state(tmp_path / "state", {f"key{number}": 0 for number in range(9)}, state(1))
    with pytest.raises(RefusedError, match=r"key5 was 0, is missing; and 3 more\. Use another checkpoint location"):
        state_files.read_state(tmp_path / "state", {})


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


@given(json, json)
def test_differences_are_empty_only_if_values_are_equal(one: object, other: object) -> None:
    assert differences(one, one) == []
    assert bool(differences(one, other)) == (one != other)
