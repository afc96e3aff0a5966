from pathlib import Path
from typing import Any

import pytest

from graftline.config import Control, Head, StrategyOptions, Training
from graftline.config.jobs import FinetuneJob, SelectJob
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.models.loading import load_checkpoint
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.selection.result import Selection
from graftline.steps.select import select
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.staged import Staged
from tests.builders.training import start

START = start()
KINDS: dict[str, StrategyOptions | None] = {"feature": Feature(), "staged": Staged(), "full": Full(), "control": None}


def finished(folder: Path, kind: str, *, status: str = "ok", **row: Any) -> Path:
    """A candidate's checkpoint with a made-up row."""
    job = FinetuneJob(
        name=folder.name,
        source="source",
        strategy=KINDS[kind],
        head=Head(),
        longest=10,
        seed=4,
        training=Training(epochs=2),
        control=Control(),
        cross_validate=kind != "control",
        opponent="" if kind == "control" else "s-control",
    )
    made = START.manifest.model_copy(
        update={
            "name": folder.name,
            "strategy": kind,
            "config": job.to_json(),
            "history": [EpochRecord(epoch=1, train_loss=1.0)],
            "row": CandidateResult(source="source", strategy=kind, status=status, **row),
        }
    )
    checkpoint.write(folder, made, START.network if status == "ok" else None)
    return folder


def control(tmp_path: Path, **changes: Any) -> Path:
    return finished(tmp_path / "s-control", "control", **{"learning_rate": 3e-3, "val_score": 0.99, **changes})


def run(tmp_path: Path, *folders: Path, seeds: int = 3) -> tuple[list[FinetuneJob], Selection]:
    again = select(
        SelectJob(confirm_seeds=seeds),
        candidates=list(folders),
        chosen=tmp_path / "chosen",
        control=tmp_path / "control",
        out=tmp_path / "out",
    )
    return again, manifest.read(tmp_path / "out", Selection)


def scored(
    tmp_path: Path, name: str, kind: str, score: float, error: float, parameters: int, seconds: float = 1.0
) -> Path:
    return finished(
        tmp_path / name,
        kind,
        val_score=score,
        val_score_se=error,
        trained_parameters=parameters,
        train_seconds=seconds,
        val_method="validation split",
    )


def test_clearly_the_best_wins_whatever_it_costs(tmp_path: Path) -> None:
    _, found = run(
        tmp_path,
        scored(tmp_path, "a", "feature", 0.80, 0.01, 10),
        scored(tmp_path, "b", "full", 0.90, 0.01, 1000),
        control(tmp_path),
    )
    assert found.chosen == "b"
    assert found.why == ["best on validation: b with 0.900, standard error 0.010 (validation split)"]


def test_within_one_standard_error_of_the_best_the_cheaper_wins(tmp_path: Path) -> None:
    _, found = run(
        tmp_path,
        scored(tmp_path, "a", "feature", 0.88, 0.5, 10),
        scored(tmp_path, "b", "full", 0.90, 0.02, 1000),
        control(tmp_path),
    )
    assert found.chosen == "a"
    assert "within one standard error and cheaper: a with 0.880, 10 trained parameters against 1000" in found.why


def test_equal_parameters_are_told_apart_by_seconds(tmp_path: Path) -> None:
    _, found = run(
        tmp_path,
        scored(tmp_path, "a", "staged", 0.90, 0.02, 1000, 9.0),
        scored(tmp_path, "b", "full", 0.90, 0.02, 1000, 3.0),
        control(tmp_path),
    )
    assert found.chosen == "b"


def test_the_control_is_never_chosen_and_its_row_is_kept(tmp_path: Path) -> None:
    _, found = run(tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10), control(tmp_path))
    assert (found.chosen, found.control, found.names) == ("a", "s-control", ["a", "s-control"])
    assert [row.strategy for row in found.rows] == ["feature", "control"]
    assert set(found.histories) == {"a", "s-control"}
    assert found.cross_validated


def test_the_checkpoints_are_handed_on_whole(tmp_path: Path) -> None:
    run(tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10), control(tmp_path))
    assert load_checkpoint(tmp_path / "chosen")[1].name == "a"
    assert load_checkpoint(tmp_path / "control")[1].name == "s-control"
    manifest.read(tmp_path / "chosen", CheckpointManifest, verify=True)


def test_confirmations_have_further_seeds_and_the_controls_rate(tmp_path: Path) -> None:
    again, _ = run(tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10), control(tmp_path))
    assert [(each.name, each.seed) for each in again] == [
        ("a-seed1", 5),
        ("s-control-seed1", 5),
        ("a-seed2", 6),
        ("s-control-seed2", 6),
    ]
    assert [each.control_rate for each in again] == [None, 3e-3, None, 3e-3]
    assert not any(each.cross_validate or each.skip for each in again)


def test_one_seed_leaves_one_candidate_to_skip(tmp_path: Path) -> None:
    again, _ = run(tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10), control(tmp_path), seeds=1)
    assert [each.skip for each in again] == [True]


def test_failed_candidates_are_passed_over(tmp_path: Path) -> None:
    _, found = run(
        tmp_path,
        finished(tmp_path / "a", "full", status="diverged", reason="loss nan"),
        scored(tmp_path, "b", "feature", 0.5, 0.01, 10),
        control(tmp_path),
    )
    assert found.chosen == "b"
    assert found.rows[0].status == "diverged"


def test_no_model_at_all_lists_every_reason(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"a: diverged \(loss nan in epoch 2\); b: oom \(no room\)"):
        run(
            tmp_path,
            finished(tmp_path / "a", "full", status="diverged", reason="loss nan in epoch 2"),
            finished(tmp_path / "b", "staged", status="oom", reason="no room"),
            control(tmp_path),
        )


def test_a_control_without_a_model_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the control did not train successfully, .*s-control: oom \(no room\)"):
        run(
            tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10), control(tmp_path, status="oom", reason="no room")
        )


def test_a_missing_control_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="its control 's-control' is not among the candidates"):
        run(tmp_path, scored(tmp_path, "a", "feature", 0.5, 0.01, 10))


def test_a_single_candidate_needs_no_score(tmp_path: Path) -> None:
    _, found = run(tmp_path, finished(tmp_path / "a", "full", trained_parameters=5), control(tmp_path))
    assert found.chosen == "a"
    assert "no validation images to choose by" in found.why[0]


def test_nan_is_never_the_best(tmp_path: Path) -> None:
    _, found = run(
        tmp_path,
        scored(tmp_path, "a", "full", float("nan"), float("nan"), 10),
        scored(tmp_path, "b", "feature", 0.2, 0.01, 10),
        control(tmp_path),
    )
    assert found.chosen == "b"
