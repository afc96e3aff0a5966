import os
import time
from pathlib import Path

import pytest

from graftline.runtime.cache_location import CACHE, CHECKPOINTS, STALE, keeping_states


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.delenv(CHECKPOINTS, raising=False)
    return tmp_path / "checkpoints"


def test_local_runs_keep_states_in_the_cache(cache: Path) -> None:
    with keeping_states():
        assert os.environ[CHECKPOINTS] == str(cache)
    assert CHECKPOINTS not in os.environ


def test_a_place_of_ones_own_stays(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHECKPOINTS, "none")
    with keeping_states():
        assert os.environ[CHECKPOINTS] == "none"


def test_trainings_that_nobody_went_on_with_are_swept_out(cache: Path) -> None:
    for name, age in (("old", STALE + 60), ("young", STALE - 60)):
        state = cache / name / "step-00000001"
        state.mkdir(parents=True)
        for path in (state, state.parent):
            os.utime(path, (time.time() - age, time.time() - age))
    with keeping_states():
        assert [path.name for path in cache.iterdir()] == ["young"]
