import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from graftline.config import Config, Control, Head, Training
from graftline.config.jobs import FinetuneJob, RaceJob
from graftline.pipelines.local.display import ProgressDisplay
from graftline.pipelines.local.forecast import Forecast
from graftline.pipelines.local.monitor import RunMonitor, StepState
from graftline.pipelines.transfer import TransferWorkload
from graftline.runtime import events
from graftline.strategies.full import Full
from graftline.strategies.staged import Staged

LONG = "finetune-a-source-with-a-very-long-name-indeed-staged"


def tell(logs: Path, step: str, *events: dict) -> None:
    with (logs / f"{step}.events.jsonl").open("a") as file:
        for event in events:
            file.write(json.dumps({"step": step, "time": time.time(), **event}) + "\n")


STARTED = {"event": "started", "pid": 1, "received": {}}


def progress(done: int, total: int, **numbers: float) -> dict:
    return {"event": "progress", "done": done, "total": total, "message": "stage 2, epoch 3", "numbers": numbers}


def test_listed_steps_wait_before_the_steps_that_follow_them(tmp_path: Path):
    monitor = RunMonitor(tmp_path, ["fingerprint", "plan", "select", "report"])
    monitor.record("plan", "done", ["finetune-a", "finetune-b"], {})
    monitor.poll()
    assert [step.name for step in monitor.in_state("waiting")] == [
        "fingerprint",
        "plan",
        "finetune-a",
        "finetune-b",
        "select",
        "report",
    ]


def test_a_step_starts_progresses_and_is_done(tmp_path: Path):
    monitor = RunMonitor(tmp_path, ["plan"])
    monitor.record("plan", "starts", [], {})
    monitor.poll()
    assert monitor.steps["plan"].state == "running"
    tell(tmp_path, "plan", STARTED, progress(1, 4, loss=0.5), {"event": "finished", "seconds": 1})
    monitor.poll()
    assert (monitor.steps["plan"].state, monitor.steps["plan"].numbers) == ("done", {"loss": 0.5})
    assert monitor.begun == ["plan"]


def test_an_incomplete_line_is_read_at_the_next_poll(tmp_path: Path):
    monitor = RunMonitor(tmp_path, [])
    line = json.dumps({"step": "plan", "time": 1.0, **STARTED})
    path = tmp_path / "plan.events.jsonl"
    path.write_text(line[:20])
    monitor.poll()
    assert monitor.steps == {}
    path.write_text(line + "\n")
    monitor.poll()
    assert monitor.steps["plan"].state == "running"


def test_the_time_left_follows_from_the_pace_since_the_first_progress():
    step = StepState("pretrain", began=0.0, first_progress=(10.0, 0), done=25, total=100)
    assert step.seconds_left(now=15.0) == 15.0
    assert StepState("pretrain", total=100).seconds_left(now=15.0) is None


def draw(tmp_path: Path, *, terminal: bool) -> str:
    monitor = RunMonitor(tmp_path, ["preprocess-target", "plan", LONG, "gate", "report"])
    monitor.record("plan", "cached", [], {})
    tell(tmp_path, "preprocess-target", STARTED, {"event": "finished", "seconds": 2.0})
    tell(tmp_path, LONG, STARTED | {"time": time.time() - 75}, progress(3, 4, loss=0.1234567, val_accuracy=0.9))
    tell(tmp_path, "gate", STARTED, {"event": "failed", "seconds": 1, "kind": "bug", "message": "KeyError: 'x'\nmore"})
    monitor.poll()
    file = io.StringIO()
    with ProgressDisplay(Console(file=file, force_terminal=terminal, width=80, color_system=None), monitor) as display:
        display.draw()
        display.draw()
    return file.getvalue()


def candidate(name: str, **more: Any) -> FinetuneJob:
    return FinetuneJob(
        name=name,
        source="s",
        strategy=None if name == "control" else Full(),
        head=Head(),
        longest=1300,
        training=Training(epochs=13),
        control=Control(),
        cross_validate=False,
        seed=0,
        **more,
    )


def config(**more: Any) -> Config:
    return Config.model_validate({"target": {"data": "x"}, "confirm_seeds": 1} | more)


def list_jobs(workload: TransferWorkload, step: str, jobs: list[FinetuneJob], race: RaceJob | None = None) -> None:
    outputs = {"Output": [job.to_json() for job in jobs]}
    workload.update(step, outputs | ({"race": race.to_json()} if race else {}))


def test_the_time_left_counts_rungs_that_are_not_listed_yet(tmp_path: Path):
    """Two of six candidates have trained on 100 images in 10 s; 400 remain in this rung, 600 and 2850 after it."""
    now = time.time()
    monitor, workload = RunMonitor(tmp_path, ["plan", "select"]), TransferWorkload(config(budget=1000))
    forecast = Forecast(workload)
    first = [candidate(f"c{number}", until=100) for number in range(6)]
    list_jobs(workload, "plan", first, race=RaceJob(sizes=[6, 2, 1], ends=[1, 4, 13], images=100))
    assert forecast.seconds_left(monitor, now) is None
    for name in ("rung1-c0", "rung1-c1"):
        tell(
            tmp_path,
            name,
            STARTED | {"time": now - 10},
            progress(0, 100) | {"time": now - 10},
            progress(100, 100),
            {"event": "finished", "time": now},
        )
    monitor.poll()
    assert forecast.seconds_left(monitor, now) == pytest.approx((400 + 600 + 900 + 1.5 * 1300) / 200 * 10)
    list_jobs(workload, "halve-1", [candidate("c0", until=400), candidate("c1", until=400)])
    assert forecast.seconds_left(monitor, now) == pytest.approx((400 + 600 + 900 + 1.5 * 1300) / 200 * 10)
    list_jobs(workload, "halve-2", [candidate("c0"), candidate("control")])
    assert forecast.seconds_left(monitor, now) == pytest.approx((400 + 600 + 900 + 1.5 * 1300) / 200 * 10)
    file = io.StringIO()
    with ProgressDisplay(
        Console(file=file, force_terminal=True, width=80, color_system=None), monitor, forecast
    ) as display:
        display.draw()
    assert "total    about 3:1" in file.getvalue()


def test_heads_on_cached_features_count_one_pass_and_a_capped_control_its_cap(tmp_path: Path):
    now = time.time()
    monitor, workload = RunMonitor(tmp_path, ["plan"]), TransferWorkload(config())
    staged = candidate("staged").model_copy(update={"strategy": Staged()})
    control = candidate("control").model_copy(update={"control": Control(max_examples_seen=300)})
    list_jobs(workload, "plan", [staged, control], race=RaceJob(images=100))
    assert workload.known == {"finetune-staged": 100 + 1300, "finetune-control": 1.5 * 300}
    assert Forecast(workload).seconds_left(monitor, now) is None


def test_the_pace_of_a_resumed_step_is_measured_from_its_resumption(tmp_path: Path):
    now, monitor = time.time(), RunMonitor(tmp_path, ["full"])
    tell(
        tmp_path,
        "full",
        STARTED | {"time": now - 20},
        progress(0, 1000) | {"time": now - 15},
        progress(800, 1000) | {"time": now - 10, "message": f"fold 2 of 10, {events.GOES_ON}"},
        progress(900, 1000) | {"time": now},
    )
    monitor.poll()
    assert monitor.steps["full"].seconds_left(now) == pytest.approx(10, rel=0.01)


def test_plain_lines_are_printed_once(tmp_path: Path):
    lines = draw(tmp_path, terminal=False).splitlines()
    assert sorted(line[:8].strip() for line in lines) == ["cached", "done", "failed", "running"]
    assert sum("KeyError: 'x'" in line for line in lines) == 1
    assert not any("more" in line for line in lines)
    assert any("finetune-a-so..indeed-staged" in line and "1:15" in line and "75%" in line for line in lines)


def test_the_display_fits_in_80_columns(tmp_path: Path):
    drawn = draw(tmp_path, terminal=True)
    rows = [row.split("\x1b[2K")[-1] for row in drawn.replace("\r", "\n").split("\n")]
    assert all(len(row) <= 80 for row in rows), max(rows, key=len)
    assert any("waiting  report" in row for row in rows)
    assert any("stage 2, epoch 3" in row and "val accuracy 0.9  loss 0.123" in row for row in rows)
    assert drawn.count("KeyError") == 1
