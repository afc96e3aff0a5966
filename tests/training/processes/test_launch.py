import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from graftline.config import Training
from graftline.config.jobs import FinetuneJob, PretrainJob
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.runtime import events
from graftline.runtime.cache_location import CHECKPOINTS
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.steps.finetune import finetune
from graftline.steps.pretrain import pretrain
from graftline.strategies.full import Full
from graftline.strategies.partial import Partial
from graftline.training.resume.resume import SAVE_INTERVAL_VARIABLE
from tests.builders.training import artifact
from tests.steps import test_pretrain
from tests.steps.test_finetune import candidate, folders

__all__ = ["folders"]
TRAINING = Training(epochs=3, augment="shift", batch_size=8, weight_decay=0.0, optimizer="sgd")


def job_of(name: str, **training: Any) -> FinetuneJob | PretrainJob:
    """Of two processes, unless told otherwise."""
    options = TRAINING.model_copy(update={"processes": 2, **training})
    given: FinetuneJob | PretrainJob = candidate(Full()) if name == "finetune" else test_pretrain.job()
    return given.model_copy(update={"training": options})


def run(job: FinetuneJob | PretrainJob, folders: Path, out: Path) -> CheckpointManifest:
    if isinstance(job, PretrainJob):
        return pretrain(job, dataset=folders / "data", out=out)
    return finetune(job, sources=folders / "sources", dataset=folders / "data", out=out)


@pytest.mark.parametrize("name", [pytest.param("finetune", marks=pytest.mark.slow), "pretrain"])
def test_a_step_in_two_processes_gives_the_weights_of_one(
    name: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(events.RUN_DIR, str(tmp_path / "run"))
    manifests = []
    for many in (1, 2):
        with events.step(f"{name}{many}"):
            manifests.append(run(job_of(name, processes=many), folders, tmp_path / f"of{many}"))
    one, two = manifests
    assert (one.row.status, two.row.status) == ("ok", "ok")
    assert one.row.val_accuracy == two.row.val_accuracy
    assert one.row.examples_seen == two.row.examples_seen == 3 * 18
    nets = [load_checkpoint(tmp_path / f"of{many}")[0] for many in (1, 2)]
    for weight, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(weight, other, atol=1e-5, rtol=1e-3)
    told = [json.loads(line) for line in (tmp_path / f"run/logs/{name}2.events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in told if event["event"] != "progress"] == ["started", "finished"]
    assert any(event["event"] == "progress" for event in told)
    assert (tmp_path / f"run/logs/{name}2.log").read_text().count("processes share each batch") == 1


@pytest.mark.slow
def test_a_refusal_in_a_process_is_raised_by_the_step(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job = job_of("finetune").model_copy(update={"strategy": Partial(carry="nowhere")})
    with pytest.raises(RefusedError, match=r"strategies\.partial\.carry: 'nowhere'"):
        run(job, folders, tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_a_divergence_in_a_process_is_raised_by_the_step(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(DivergedError, match=r"epoch 1, batch \d"):
        run(job_of("pretrain", learning_rate=1e12), folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_process_is_launched_if_nothing_is_trained(
    folders: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "graftline")
    empty = artifact(tmp_path / "empty", train=0, val=0, test=0)
    made = pretrain(test_pretrain.job(processes=2), dataset=empty, out=tmp_path / "random")
    assert made.strategy == "random"
    skipped = job_of("finetune").model_copy(update={"skip": True})
    assert run(skipped, folders, tmp_path / "skipped").row.status == "skipped"
    assert "processes share" not in caplog.text
    assert "one seed was asked for" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finetune", "pretrain"])
def test_torchrun_trains_by_the_command_line(name: str, folders: Path, tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    own = (
        ["--strategy", "full", "--source", str(folders / "sources" / "source")]
        if name == "finetune"
        else ["--backbone", "cnn"]
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--no-python",
        sys.executable,
        "-c",
        "from graftline.cli.app import main; main()",
        name,
        *own,
        "--data",
        str(folders / "data"),
        "--out",
        str(tmp_path / "out"),
        "--set",
        f"{name}.epochs=2",
        "--set",
        f"{name}.batch_size=8",
    ]
    done = subprocess.run(
        command, env=env | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("examples seen in") == 1
    assert load_checkpoint(tmp_path / "out")[1].row.examples_seen == 2 * 18


PROGRAM = """
import sys
from pathlib import Path
from graftline.runtime import events
from graftline.config.jobs import FinetuneJob, PretrainJob
from tests.training.processes.test_launch import run
kind, (job, folders, out) = {"finetune": FinetuneJob, "pretrain": PretrainJob}[sys.argv[1]], map(Path, sys.argv[2:])
with events.step("one"):
    run(kind.model_validate_json(job.read_text()), folders, out)
"""


def begun(
    name: str, job: FinetuneJob | PretrainJob, folders: Path, tmp_path: Path, **env: str
) -> subprocess.Popen[bytes]:
    """Starts a step of two processes in a process of its own."""
    (tmp_path / "job.json").write_text(job.to_json())
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, name, str(tmp_path / "job.json"), str(folders), str(tmp_path / "out")],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"OMP_NUM_THREADS": "1", events.RUN_DIR: str(tmp_path / "run"), **env},
    )


def wait_for(what: Callable[[], Any], seconds: float = 200) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.05)
    assert found
    return found


def children(process: subprocess.Popen[bytes]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_sigterm_ends_a_step_and_all_its_processes(folders: Path, tmp_path: Path) -> None:
    started = begun("finetune", job_of("finetune", epochs=100_000), folders, tmp_path)
    told = tmp_path / "run/logs/one.events.jsonl"
    wait_for(lambda: told.is_file() and "progress" in told.read_text())
    pids = children(started)
    started.send_signal(signal.SIGTERM)
    assert started.wait(100) == 128 + signal.SIGTERM
    assert "preempted" in (tmp_path / "run/logs/one.error.json").read_text()
    assert len(pids) >= 2
    assert gone(pids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "by", "victim"),
    [
        ("finetune", signal.SIGTERM, "step"),
        ("pretrain", signal.SIGTERM, "step"),
        ("pretrain", signal.SIGKILL, "step"),
        ("finetune", signal.SIGKILL, "process"),
    ],
)
def test_an_interrupted_step_resumes_to_the_same_weights(
    name: str, by: signal.Signals, victim: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    job, states = job_of(name, epochs=60), tmp_path / "states"
    unbroken = run(job, folders, tmp_path / "unbroken").digest
    env = {CHECKPOINTS: str(states), SAVE_INTERVAL_VARIABLE: "0"}
    started = begun(name, job, folders, tmp_path, **env)
    wait_for(lambda: any(int(path.name[-8:]) >= 20 for path in states.glob("*/step-*")))
    pids = children(started)
    os.kill(started.pid if victim == "step" else pids[1], by)
    assert started.wait(100) != 0
    wait_for(lambda: gone(pids), 10)
    assert not (tmp_path / "out").exists(), "it came to its end before it was stopped"
    before = max(int(path.name[-8:]) for path in states.glob("*/step-*"))
    assert begun(name, job, folders, tmp_path, **env).wait(200) == 0
    assert load_checkpoint(tmp_path / "out")[1].digest == unbroken
    assert "resuming from state" in (tmp_path / "run/logs/one.log").read_text()
    assert before < max(int(path.name[-8:]) for path in states.glob("*/step-*")) <= 60 * 3
