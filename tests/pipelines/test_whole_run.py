"""The real steps through the real DAG, on the digits that scikit-learn carries."""

import json
from pathlib import Path

import pytest

from graftline.config import Config
from graftline.config.jobs import FinetuneJob
from graftline.pipelines.local import runners
from graftline.pipelines.local.run import run_local

pytestmark = pytest.mark.slow


def test_digits_from_raw_data_to_release_then_from_the_cache_then_in_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runners, "library_digest", lambda: "the tests' own")
    config = Config.model_validate(
        {
            "source": {"data": "builtin:digits/clean"},
            "target": {"data": "builtin:digits/scanned"},
            "backbone": "mlp",
            "strategies": ["feature", "full"],
            "confirm_seeds": 2,
            "image_size": 16,
            "pretrain": {"epochs": 5},
            "finetune": {"epochs": 5},
        }
    )
    first = run_local("transfer", config, out=tmp_path / "first")
    assert first.status == "succeeded", first.message
    assert {
        "candidates",
        "selected",
        "test",
        "control",
        "baselines",
        "transfer_gain",
        "gate",
        "onnx",
        "dataset_digest",
    } <= first.run.keys()
    assert (tmp_path / "first" / "report.html").is_file()
    assert (tmp_path / "first" / "release").is_dir() == (first.run["gate"]["verdict"] == "promote")

    received = {}
    for path in (tmp_path / "first" / "logs").glob("finetune-*.events.jsonl"):
        event = json.loads(path.read_text().splitlines()[0])
        received[event["step"]] = FinetuneJob.model_validate_json(event["received"]["candidate"])
    assert {step: (c.source, c.strategy_name) for step, c in received.items()} == {
        "finetune-clean-feature": ("clean", "feature"),
        "finetune-clean-full": ("clean", "full"),
        "finetune-clean-control": ("clean", "control"),
    }
    assert len({c.inputs for c in received.values()}) == 1

    second = run_local("transfer", config, out=tmp_path / "second")
    assert {step["name"] for step in second.run["steps"] if not step["cached"]} <= {"fingerprint", "release", "report"}
    same = ("candidates", "selected", "test", "control", "transfer_gain", "gate", "dataset_digest")
    assert {key: second.run[key] for key in same} == {key: first.run[key] for key in same}

    third = run_local("transfer", config.model_copy(update={"shards": 2}), out=tmp_path / "third")
    assert {step["name"] for step in third.run["steps"] if not step["cached"]} <= {
        "fingerprint",
        *(f"decode-{task}-{shard}of2" for task in ("target", "clean") for shard in (1, 2)),
        "merge-target",
        "merge-sources",
        "release",
        "report",
    }
    assert {key: third.run[key] for key in same} == {key: first.run[key] for key in same}


def test_a_tournament_on_digits_resumes_training_from_rung_to_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(runners, "library_digest", lambda: "the tests' own")
    config = Config.model_validate(
        {
            "source": {"data": "builtin:digits/clean"},
            "target": {"data": "builtin:digits/scanned"},
            "backbone": "mlp",
            "strategies": ["feature", "full"],
            "confirm_seeds": 1,
            "image_size": 16,
            "pretrain": {"epochs": 5},
            "finetune": {"epochs": 13},
            "budget": 50 * 40,
        }
    )
    result = run_local("transfer", config, out=tmp_path / "run")
    assert result.status == "succeeded", result.message
    run = result.run
    assert [rung["examples_seen"] for rung in run["rungs"]] == [50, 200, 650]
    assert [candidate["name"] for candidate in run["rungs"][0]["candidates"]] == [
        "clean-feature",
        "clean-full",
        "clean-full-lr3",
        "clean-full-lr0.33",
    ]
    assert len({candidate["name"] for candidate in run["candidates"]}) == len(run["candidates"]) == 5
    finalists = [candidate for candidate in run["rungs"][2]["candidates"] if candidate["status"] == "ok"]
    assert finalists
    for candidate in finalists:
        assert candidate["examples_seen"] == 650 or candidate["over"]
        before = next(e for e in run["rungs"][1]["candidates"] if e["name"] == candidate["name"])
        assert before["examples_seen"] == 200 or before["over"]
    assert 'id="race"' in (tmp_path / "run" / "report.html").read_text()
    assert run["control"]["examples_seen"] >= max(candidate["examples_seen"] for candidate in finalists)
