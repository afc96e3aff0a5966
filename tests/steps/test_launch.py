import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from graftline import checkpoint, events
from graftline.config import Full, Partial, Training
from graftline.errors import RefusedError
from graftline.steps.finetune import finetune
from tests.steps.test_finetune import candidate, folders

__all__ = ["folders"]
pytestmark = pytest.mark.slow
TRAINING = Training(epochs=3, augment="shift", batch_size=8, weight_decay=0.0, optimizer="sgd")


def test_a_step_of_two_processes_ends_as_one_of_one(folders: Path, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(events.RUN_DIR, str(tmp_path / "run"))
    manifests = []
    for many in (1, 2):
        with events.step(f"finetune{many}"):
            job = candidate(Full(), training=TRAINING.model_copy(update={"processes": many}))
            manifests.append(finetune(job, sources=folders / "sources", dataset=folders / "data",
                                      out=tmp_path / f"of{many}"))
    one, two = manifests
    assert (one.row.status, two.row.status) == ("ok", "ok")
    assert one.row.val_accuracy == two.row.val_accuracy
    nets = [checkpoint.load(tmp_path / f"of{many}")[0] for many in (1, 2)]
    for weight, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(weight, other, atol=1e-5, rtol=1e-3)
    told = [json.loads(line) for line in (tmp_path / "run/logs/finetune2.events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in told if event["event"] != "progress"] == ["started", "finished"]
    assert any(event["event"] == "progress" for event in told)


def test_a_refusal_in_a_process_is_one_of_the_step(folders: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = candidate(Partial(carry="nowhere"), training=TRAINING.model_copy(update={"processes": 2}))
    with pytest.raises(RefusedError, match=r"strategies\.partial\.carry: 'nowhere'"):
        finetune(job, sources=folders / "sources", dataset=folders / "data", out=tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_torchrun_trains_by_the_command_line(folders: Path, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--no-python",
               sys.executable, "-c", "from graftline.cli import main; main()", "finetune", "--strategy", "full",
               "--data", str(folders / "data"), "--source", str(next((folders / "sources").iterdir())),
               "--out", str(tmp_path / "out"), "--set", "finetune.epochs=2", "--set", "finetune.batch_size=8"]
    done = subprocess.run(command, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("presentations in") == 1
    assert checkpoint.load(tmp_path / "out")[1].row.status == "ok"


def test_a_step_that_is_told_to_stop_takes_its_processes_along(folders: Path, tmp_path: Path) -> None:
    job = candidate(Full(), training=TRAINING.model_copy(update={"processes": 2, "epochs": 100_000}))
    (tmp_path / "job.json").write_text(job.to_json())
    program = ("import sys; from pathlib import Path; from graftline import events; "
               "from graftline.jobs import Candidate; "
               "from graftline.steps.finetune import finetune; job, folders, out = map(Path, sys.argv[1:]);\n"
               "with events.step('stopped'): finetune(Candidate.model_validate_json(job.read_text()), "
               "sources=folders / 'sources', dataset=folders / 'data', out=out)")
    env = os.environ | {"OMP_NUM_THREADS": "1", events.RUN_DIR: str(tmp_path / "run")}
    started = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "job.json"), str(folders),
                                str(tmp_path / "out")], env=env)
    told = tmp_path / "run/logs/stopped.events.jsonl"
    until = time.monotonic() + 200
    while not (told.is_file() and "progress" in told.read_text()) and time.monotonic() < until:
        time.sleep(0.2)
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
    started.send_signal(signal.SIGTERM)
    assert started.wait(100) == 128 + signal.SIGTERM
    assert "preempted" in (tmp_path / "run/logs/stopped.error.json").read_text()
    assert len(children) >= 2
    assert not any(Path(f"/proc/{child}").exists() for child in children)
