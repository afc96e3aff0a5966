"""The real DAG, components, cache and monitor with stub steps (the real steps run in test_whole_run.py)."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graftline.config.jobs import FinetuneJob, PretrainJob, check_dag
from graftline.pipelines.local import cache, runners
from graftline.pipelines.local.run import RunResult, run_local
from graftline.pipelines.local.summary import summary_lines
from graftline.runtime import code_version
from graftline.runtime.cache_location import cache_home
from graftline.runtime.errors import RefusedError
from graftline.runtime.manifest import identity
from tests.builders.stub_runs import STUB_STEPS, StubRuns, config_of

CANDIDATES = ["one-full", "one-partial", "two-full", "two-partial", "control"]
UNCACHED = {"fingerprint", "report", "release"}


def names(result: RunResult, *, cached: bool | None = None) -> set[str]:
    return {step["name"] for step in result.run["steps"] if cached is None or step["cached"] == cached}


def received(result: RunResult, step: str) -> dict[str, str]:
    first = (result.out / "logs" / f"{step}.events.jsonl").read_text().splitlines()[0]
    return json.loads(first)["received"]


def test_a_run_writes_run_json_report_and_data_page(two_runs):
    result, _ = two_runs
    assert (result.status, result.exit_code, result.message) == ("succeeded", 0, "")
    assert names(result) == {
        "fingerprint",
        "preprocess-target",
        "preprocess-one",
        "preprocess-two",
        "pretrain-one",
        "pretrain-two",
        "plan",
        *(f"finetune-{name}" for name in CANDIDATES),
        "select",
        "confirm-one-full-seed1",
        "confirm-control-seed1",
        "evaluate",
        "export-onnx",
        "gate",
        "release",
        "report",
    }
    written = json.loads((result.out / "run.json").read_text())
    assert written == result.run
    assert {"pipeline", "task", "status", "seconds", "steps", "selected"} <= written.keys()
    assert (result.out / "report.html").read_text() == "<p>report</p>"
    assert (result.out / "data.html").read_text() == (result.out / "ledger.json").read_text() == "target data"
    assert (result.out / "release" / "content.txt").is_file()
    assert {path.stem for path in (result.out / "logs").glob("*.log")} == names(result) | {"kfp"}


def test_every_candidate_received_its_own_job(two_runs):
    result, _ = two_runs
    inputs = set()
    for name in CANDIDATES:
        candidate = FinetuneJob.model_validate_json(received(result, f"finetune-{name}")["candidate"])
        assert candidate.name == name
        assert f"{candidate.source}-{candidate.strategy_name}" == name or candidate.is_control
        inputs.add(candidate.inputs)
    assert inputs == {received(result, "select")["inputs"]}
    for name in ("one-full", "control"):
        again = FinetuneJob.model_validate_json(received(result, f"confirm-{name}-seed1")["candidate"])
        assert (again.name, again.seed, again.inputs) == (f"{name}-seed1", 1, inputs.copy().pop())


def test_every_step_received_the_digests_of_what_it_reads(two_runs):
    result, _ = two_runs
    artifacts = min((result.out.parent / "cache" / "artifacts").iterdir())
    digest = {folder.parent.parent.name: identity(folder) for folder in artifacts.rglob("pretrain/checkpoint")}
    assert received(result, "plan")["checkpoints"].split(",") == [digest[i] for i in sorted(digest)]
    assert received(result, "plan")["dataset"] == identity(artifacts / "preprocess" / "dataset")
    sources = {identity(folder) for folder in artifacts.rglob("preprocess-2/dataset")}
    jobs = [PretrainJob.model_validate_json(received(result, f"pretrain-{name}")["job"]) for name in ("one", "two")]
    assert {job.inputs for job in jobs} == sources
    assert len(received(result, "select")["candidates"].split(",")) == len(CANDIDATES)


def test_a_second_run_reads_all_cacheable_steps_from_the_cache(two_runs):
    first, second = two_runs
    assert names(second, cached=False) == UNCACHED
    assert names(second) == names(first)
    assert names(first, cached=True) == set()
    assert all((second.out / name).is_file() for name in ("report.html", "data.html", "ledger.json"))
    assert second.run["data"] == {"warnings": ["dull", "small"]}


def test_new_data_of_one_source_keeps_the_other_source_cached(stubs: StubRuns):
    config = stubs.config(sources=("one", "two"))
    (stubs.folder / "two").write_text("two has new data")
    result = stubs.run(config)
    assert {"preprocess-target", "preprocess-one", "pretrain-one"} <= names(result, cached=True)
    assert {"preprocess-two", "pretrain-two", "plan", "finetune-one-full"} <= names(result, cached=False)


def test_moved_but_unchanged_data_is_not_trained_on_again(stubs: StubRuns):
    result = stubs.run(config_of(stubs.folder / "elsewhere"))
    assert names(result, cached=False) == UNCACHED | {"preprocess-target", "preprocess-one"}


def test_a_step_with_a_damaged_cached_artifact_runs_again(stubs: StubRuns):
    config = stubs.config(delta=0.02)
    assert {"evaluate", "gate"} <= names(stubs.run(config), cached=False)
    for harm in (
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "content.txt").unlink(),
        lambda folder: (folder / "content.txt").write_text("2 other bytes"),
    ):
        harm(max((stubs.folder / "cache" / "artifacts").glob("*/evaluate/metrics")))
        result = stubs.run(config)
        assert names(result, cached=False) == UNCACHED | {"evaluate"}
        assert "runs again" in (result.out / "logs" / "kfp.log").read_text()


def test_a_held_model_is_not_released(stubs: StubRuns):
    result = stubs.run(stubs.config(gate={"require_positive_gain": True}))
    assert (result.status, result.exit_code) == ("succeeded", 0)
    assert names(result, cached=False) == UNCACHED - {"release"} | {"gate"}
    assert not (result.out / "release").exists()
    assert (result.out / "report.html").is_file()


def test_a_refused_step_ends_the_run_and_a_rerun_repeats_only_that_step(stubs: StubRuns):
    config = stubs.config(strategies=["feature"])
    result = stubs.run(config, fail="refused=select")
    assert (result.status, result.exit_code) == ("refused", 2)
    assert result.message == "refused: select: refused as the test asked for"
    assert result.run["error"] == {
        "step": "select",
        "kind": "refused",
        "message": "select: refused as the test asked for",
    }
    assert "finetune-one-feature" in names(result, cached=False)
    again = stubs.run(config)
    assert again.status == "succeeded"
    assert names(again, cached=True) >= names(result) - {"fingerprint"}
    assert "select" in names(again, cached=False)


def test_after_a_bug_no_further_step_starts_and_its_traceback_is_logged(stubs: StubRuns):
    result = stubs.run(stubs.config(strategies=["full", "staged", "zero"]), fail="bug=one-staged")
    assert (result.status, result.exit_code) == ("failed", 1)
    assert "finetune-one-staged failed: ZeroDivisionError: a bug as the test asked for" in result.message
    assert "ZeroDivisionError" in (result.out / "logs" / "finetune-one-staged.log").read_text()
    marker = json.loads((result.out / "logs" / "finetune-one-staged.error.json").read_text())
    assert (marker["kind"], marker["step"]) == ("bug", "finetune-one-staged")
    assert "_work" in marker["traceback"]
    written = [
        json.loads(line)
        for path in (result.out / "logs").glob("*.events.jsonl")
        for line in path.read_text().splitlines()
    ]
    failed = next(event["time"] for event in written if event["event"] == "failed")
    begun = {event["step"]: event["time"] for event in written if event["event"] == "started"}
    assert "select" not in begun
    # kfp.local runs two steps of a loop at once, so one step may be starting while the other fails.
    assert sum(time > failed for time in begun.values()) <= 1


def test_a_killed_step_counts_as_preempted(stubs: StubRuns):
    result = stubs.run(stubs.config(strategies=["structure"]), fail="kill=one-structure")
    assert (result.exit_code, result.run["error"]["kind"]) == (1, "preempted")
    assert result.run["error"]["step"] == "finetune-one-structure"


def _as_from_a_terminal() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background ignores it, and its children would


def test_ctrl_c_stops_the_steps_and_prints_how_to_resume(tmp_path: Path):
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]; from pathlib import Path\n"
        "from tests.builders.stub_runs import config_of\n"
        "from graftline.pipelines.local.run import run_local; folder = Path(sys.argv[2])\n"
        "sys.exit(run_local('transfer', config_of(folder), out=folder / 'run').exit_code)"
    )
    environment = os.environ | {
        "PYTHONPATH": str(STUB_STEPS),
        "GRAFTLINE_CACHE": str(tmp_path / "cache"),
        "STUB_FAIL": "slow=pretrain-one",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(STUB_STEPS.parents[2]), str(tmp_path)],
        text=True,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        preexec_fn=_as_from_a_terminal,
    )
    events = tmp_path / "run" / "logs" / "pretrain-one.events.jsonl"
    until = time.time() + 30
    while not (events.exists() and '"progress"' in events.read_text()) and time.time() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the steps as well
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "pretrain-one stopped: stopped from outside. Rerun the same command to resume." in output
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["status"], run["error"]["kind"]) == ("failed", "preempted")
    assert json.loads(events.read_text().splitlines()[-1])["event"] == "failed"


def test_a_folder_with_files_of_other_programs_is_refused(tmp_path: Path):
    (tmp_path / "run1" / "release").mkdir(parents=True)
    stubs = StubRuns(tmp_path)
    with pytest.raises(RefusedError, match=r"has release from another program; give another folder"):
        stubs.run(stubs.config())
    assert (tmp_path / "run1" / "release").is_dir()


def test_the_docker_runner_without_its_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runners, "find_spec", lambda name: None)
    with pytest.raises(RefusedError, match=r"package `docker` is not installed; install graftline\[docker\]"):
        run_local("transfer", StubRuns(tmp_path).config(), out=tmp_path / "run", runner="docker")


def test_the_library_digest_changes_with_source_files_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = cache.library_digest()
    monkeypatch.setattr(code_version, "version", lambda name: "0")
    assert cache.library_digest() != before
    monkeypatch.undo()
    assert cache.library_digest() == before
    (tmp_path / "graftline").mkdir()
    (tmp_path / "graftline" / "__init__.py").write_text("")
    monkeypatch.setattr(cache.graftline, "__file__", str(tmp_path / "graftline" / "__init__.py"))
    other = cache.library_digest()
    (tmp_path / "graftline" / "new.py").write_text("")
    assert len({before, other, cache.library_digest()}) == 3


def test_the_summary_names_a_baseline_that_scores_higher(tmp_path: Path):
    run = {
        "selected": {"source": "one", "strategy": "full"},
        "test": {"accuracy": 0.9},
        "control": {"accuracy": 0.7},
        "baselines": {"majority": 0.1, "forest": 0.95},
        "best": "forest",
        "gate": {"verdict": "hold", "reasons": ["a"]},
        "transfer_gain": {
            "value": 0.2,
            "low": 0.1,
            "high": 0.3,
            "seeds": 3,
            "verdict": "positive",
            "method": "",
            "reasons": [],
        },
    }
    assert summary_lines(run, tmp_path) == [
        "chosen   one / full, 90.0% on test; control 70.0%, majority 10.0%, forest 95.0%",
        "gain     +20.0 points [+10.0, +30.0] over 3 seeds: positive",
        "best     forest scores higher on test than the transfer",
        "gate     hold",
        "         a",
    ]


def test_the_cache_folder_follows_the_environment_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("GRAFTLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path / "graftline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_home() == tmp_path / ".cache" / "graftline"


def test_a_tournament_trains_in_rungs_and_is_cached(tmp_path: Path):
    stubs = StubRuns(tmp_path)
    config = stubs.config(strategies=["full", "staged", "feature"], budget=1000)
    first, second = stubs.run(config), stubs.run(config)
    assert first.status == "succeeded", first.message
    assert {name for name in names(first) if name.startswith(("rung", "halve"))} == {
        "rung1-one-full",
        "rung1-one-staged",
        "rung1-one-feature",
        "halve-1",
        "rung2-one-full",
        "rung2-one-staged",
        "halve-2",
        "rung3-one-full",
        "rung3-control",
    }
    until = {
        step: FinetuneJob.model_validate_json(received(first, step)["candidate"]).until
        for step in ("rung1-one-full", "rung2-one-full", "rung3-one-full")
    }
    assert list(until.values()) == [10, 30, None]
    artifacts = min((tmp_path / "cache" / "artifacts").iterdir())
    examples_seen = {
        path.read_text().splitlines()[1]
        for path in artifacts.rglob("content.txt")
        if path.read_text().startswith("{") and '"name":"one-full"' in path.read_text()
    }
    assert examples_seen >= {"10", "10 30", "10 30 end"}
    assert names(second, cached=False) == UNCACHED


def test_a_tournament_in_a_dag_without_rungs_is_refused(tmp_path: Path):
    config = config_of(tmp_path, budget=1000)
    with pytest.raises(
        RefusedError, match=r"budget: needs a tournament, .*; submit the pipeline's -tournament.yaml file"
    ):
        check_dag(config, tournament=False)
    check_dag(config, tournament=True)
    check_dag(config_of(tmp_path), tournament=True)
