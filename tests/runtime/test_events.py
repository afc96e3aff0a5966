import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from graftline.runtime import events
from graftline.runtime.errors import DivergedError, RefusedError


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(events.RUN_DIR, str(tmp_path))
    return tmp_path / "logs"


def told(logs: Path, step: str) -> list[dict]:
    return [json.loads(line) for line in (logs / f"{step}.events.jsonl").read_text().splitlines()]


def test_a_step_leaves_its_log_and_its_events(logs: Path):
    with events.step("plan", job="{}"):
        events.log("a line")
        os.write(1, b"from below Python\n")
        os.write(2, b"and from stderr\n")
    assert (logs / "plan.log").read_text() == "a line\nfrom below Python\nand from stderr\n"
    first, last = told(logs, "plan")
    assert (first["event"], first["received"], first["pid"]) == ("started", {"job": "{}"}, os.getpid())
    assert last["event"] == "finished"
    assert last["seconds"] >= 0


def test_progress_is_throttled_but_the_last_word_stands(logs: Path):
    with events.step("finetune"):
        for done in range(10_000):
            events.progress(done, 20_000, "training", loss=1 / (done + 1))
    lines = [event for event in told(logs, "finetune") if event["event"] == "progress"]
    assert 2 <= len(lines) <= 20
    assert (lines[-1]["done"], lines[-1]["total"], lines[-1]["numbers"]) == (9_999, 20_000, {"loss": 1e-4})


def test_numbers_stay_until_given_anew_and_nan_is_said(logs: Path):
    with events.step("finetune"):
        events.progress(1, 2, val_accuracy=0.5)
        events.progress(2, 2, loss=float("nan"))
    assert told(logs, "finetune")[-2]["numbers"] == {"val_accuracy": 0.5, "loss": "nan"}


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RefusedError("no such folder"), "refused", "no such folder"),
        (DivergedError("loss is NaN in epoch 3"), "diverged", "loss is NaN in epoch 3"),
        (ZeroDivisionError("by zero"), "bug", "ZeroDivisionError: by zero"),
        (MemoryError(), "oom", "MemoryError: "),
        (KeyboardInterrupt(), "preempted", "stopped from outside"),
    ],
    ids=lambda value: str(value)[:9],
)
def test_a_failure_leaves_a_marker_of_its_kind(logs: Path, error: BaseException, kind: str, message: str):
    with pytest.raises(type(error)), events.step("gate"):
        raise error
    marker = json.loads((logs / "gate.error.json").read_text())
    assert (marker["kind"], marker["message"], marker["step"]) == (kind, message, "gate")
    assert ("traceback" in marker) == (kind == "bug")
    assert told(logs, "gate")[-1]["event"] == "failed"
    assert ("Traceback" in (logs / "gate.log").read_text()) == (kind != "refused")


@pytest.mark.parametrize(
    ("first", "second"), [(RefusedError("no"), RefusedError), (ZeroDivisionError(), events.AlreadyFailedError)]
)
def test_a_retry_of_what_will_fail_again_stops_at_once(logs: Path, first: Exception, second: type[Exception]):
    with pytest.raises(type(first)), events.step("gate"):
        raise first
    marker = (logs / "gate.error.json").read_text()
    with pytest.raises(second), events.step("gate"):
        pytest.fail("the body ran")
    assert (logs / "gate.error.json").read_text() == marker


def test_a_retry_of_what_may_go_well_runs_and_clears_the_marker(logs: Path):
    with pytest.raises(MemoryError), events.step("gate"):
        raise MemoryError
    with events.step("gate"):
        pass
    assert not (logs / "gate.error.json").exists()


def test_a_stop_from_outside_is_preempted(tmp_path: Path):
    code = "import time; from graftline.runtime import events\n"
    code += "with events.step('pretrain'): events.log('up'); time.sleep(9)"
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {events.RUN_DIR: str(tmp_path)})
    log = tmp_path / "logs" / "pretrain.log"
    while not (log.exists() and log.read_text() == "up\n"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 128 + signal.SIGTERM
    assert json.loads((tmp_path / "logs" / "pretrain.error.json").read_text())["kind"] == "preempted"


def test_without_a_run_directory_all_goes_to_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.delenv(events.RUN_DIR, raising=False)
    with events.step("rank"):
        events.log("a line")
        events.progress(1, 4, "ranking", score=0.25)
    assert capsys.readouterr().out == "a line\nrank  1/4  ranking  score 0.25\n"


def test_outside_of_a_step_progress_is_silent_and_lines_are_logged(capsys, caplog):
    with caplog.at_level(logging.INFO, "graftline"):
        events.progress(1, 2)
        events.log("a line")
    assert capsys.readouterr().out == ""
    assert caplog.messages == ["a line"]


def test_names_become_plain_and_distinct_file_names():
    assert events.file_name("finetune-a.b_c") == "finetune-a.b_c"
    odd = [events.file_name(name) for name in ("pretrain-a b", "pretrain-a/b", "../../etc", "x" * 300, "\N{SNOWMAN}")]
    assert len(set(odd)) == len(odd)
    assert all(name and "/" not in name and not name.startswith(".") and len(name) < 100 for name in odd)
