from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graftline.config import Control, Head, StrategyOptions, Training
from graftline.config.jobs import FinetuneJob
from graftline.data import dataset as datasets
from graftline.models import checkpoint
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.runtime import events, manifest
from graftline.runtime.errors import RefusedError
from graftline.steps import finetune as step
from graftline.steps.finetune import finetune
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.partial import Partial
from graftline.strategies.zero import Zero
from graftline.training.batches.samples import Samples
from graftline.training.validation import outputs, score
from tests.builders.training import CPU, artifact, start


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    made = start()
    checkpoint.write(tmp_path / "sources" / "source", made.manifest, made.network)
    artifact(tmp_path / "data")
    return tmp_path


def candidate(strategy: StrategyOptions | None, **changes: Any) -> FinetuneJob:
    training = Training(epochs=12, augment="shift", batch_size=8, learning_rate=3e-3)
    made = FinetuneJob(
        name="one",
        source="source",
        strategy=strategy,
        head=Head(),
        training=training,
        control=Control(patience=2),
        longest=18 * 4,
        cross_validate=False,
        seed=0,
    )
    return made.model_copy(update=changes)


def run(folders: Path, job: FinetuneJob) -> CheckpointManifest:
    return finetune(job, sources=folders / "sources", dataset=folders / "data", out=folders / "out")


def test_a_candidate_becomes_a_checkpoint_with_its_row(folders: Path) -> None:
    made = run(folders, candidate(Full()))
    assert made == manifest.read(folders / "out", CheckpointManifest, verify=True)
    row = made.row
    assert (row.source, row.strategy, row.status, row.val_method) == ("source", "full", "ok", "validation split")
    assert row.examples_seen == 12 * 18
    assert row.trained_parameters > 0
    assert row.train_seconds > 0
    assert made.licence == "test"
    assert made.parent is not None
    assert FinetuneJob.model_validate_json(made.config).to_json() == candidate(Full()).to_json()
    assert len(made.history) == 12


def test_the_stored_model_is_the_one_that_was_scored(folders: Path) -> None:
    made = run(folders, candidate(Full()))
    network, _ = load_checkpoint(folders / "out")
    val = Samples([datasets.read(folders / "data").val])
    found = score(outputs(network, val, made.input, CPU), val.labels)
    assert found.main == pytest.approx(made.row.val_score)
    assert found.accuracy == pytest.approx(made.row.val_accuracy)


@pytest.mark.parametrize("strategy", [Zero(), Feature(), Full()])
def test_cross_validation_scores_the_strategy_and_trains_on_train_alone(
    folders: Path, strategy: StrategyOptions
) -> None:
    made = run(folders, candidate(strategy, cross_validate=True))
    assert made.row.val_method == "2 x 5-fold over train + validation"
    assert made.row.val_score is not None
    assert made.row.val_score_se is not None
    assert made.row.examples_seen % 18 == 0


def test_the_test_split_is_never_looked_at(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Files are memory-mapped: rows behind train and validation are made unreadable by a copy without them.
    whole = datasets.read
    seen = []

    def without_test(folder: Path) -> datasets.Dataset:
        data = whole(folder)
        seen.append(len(data.test))
        return datasets.Dataset(data.manifest, data.train, data.val, None)  # type: ignore[arg-type]

    monkeypatch.setattr(step.datasets, "read", without_test)
    assert run(folders, candidate(Full(), cross_validate=True)).row.status == "ok"
    assert seen == [12]


def test_the_control_carries_nothing(folders: Path) -> None:
    made = run(folders, candidate(None))
    assert (made.strategy, made.parent, made.licence) == ("control", None, "none: random weights")
    assert made.row.converged is not None
    assert any(note.startswith(f"rate {made.row.learning_rate:g}: validation") for note in made.row.notes)
    assert made.dropped == []


def test_divergence_is_a_row_and_not_a_failure(folders: Path) -> None:
    job = candidate(
        Full(), training=Training(epochs=3, augment="none", learning_rate=1e12, optimizer="sgd", batch_size=4)
    )
    made = run(folders, job)
    assert made.row.status == "diverged"
    assert "epoch 1" in made.row.reason
    assert made.digest == ""
    assert not (folders / "out" / "weights.safetensors").exists()


def test_what_diverges_later_keeps_the_last_good_weights(folders: Path) -> None:
    good = Training(epochs=1, augment="none", learning_rate=1e12, optimizer="sgd", schedule="constant")
    assert run(folders, candidate(Full(), training=good)).row.status == "ok"
    kept, _ = load_checkpoint(folders / "out")
    made = run(folders, candidate(Full(), training=good.model_copy(update={"epochs": 3})))
    assert made.row.status == "diverged"
    assert "epoch 2" in made.row.reason
    network, _ = load_checkpoint(folders / "out")
    theirs = kept.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("no room"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_lack_of_memory_is_a_row_and_not_a_failure(
    folders: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setitem(step.STRATEGIES, "full", replace(step.STRATEGIES["full"], train=fail))
    made = run(folders, candidate(Full()))
    assert (made.row.status, made.row.reason) == ("oom", str(error))


def test_one_of_several_that_lacks_memory_ends_all_and_is_a_row(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(step.STRATEGIES, "full", replace(step.STRATEGIES["full"], train=fail))
    monkeypatch.setattr(step.distributed, "world_size", lambda: 2)
    with pytest.raises(MemoryError, match="CUDA out of memory"):
        run(folders, candidate(Full()))  # as the process itself
    monkeypatch.setattr(step.distributed, "num_processes", lambda asked: 2)
    monkeypatch.setattr(step, "run_step", _raise_no_room)
    made = run(folders, candidate(Full()))  # as the one that started them
    assert (made.row.status, made.row.reason) == ("oom", "no room")


def _raise_no_room(*_: object, **__: object) -> None:
    raise MemoryError("no room")


def test_what_does_not_apply_is_a_row_with_its_reason(folders: Path) -> None:
    made = start()
    random = made.manifest.model_copy(update={"strategy": "random", "classes": []})
    network = load_checkpoint(folders / "sources" / "source")[0]
    one = random.model_copy(update={"classes": ["a", "b", "c"]})
    checkpoint.write(folders / "sources" / "source", one, network)
    row = run(folders, candidate(Zero())).row
    assert (row.status, row.reason) == ("not applicable", "the source has no trained head")


def test_an_unknown_layer_is_refused(folders: Path) -> None:
    with pytest.raises(RefusedError, match=r"strategies\.partial\.freeze: 'conv7'"):
        run(folders, candidate(Partial(freeze="conv7")))


def test_other_errors_keep_their_traceback(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setitem(step.STRATEGIES, "full", replace(step.STRATEGIES["full"], train=fail))
    with pytest.raises(RuntimeError, match="shapes differ"):
        run(folders, candidate(Full()))


def test_a_candidate_to_skip_is_skipped(folders: Path) -> None:
    row = run(folders, candidate(Full(), skip=True)).row
    assert (row.status, row.examples_seen) == ("skipped", 0)


def test_the_same_candidate_gives_the_same_weights(folders: Path) -> None:
    assert run(folders, candidate(Full())).digest == run(folders, candidate(Full())).digest


def test_no_validation_split_and_no_choice_leaves_the_score_open(tmp_path: Path) -> None:
    made = start()
    checkpoint.write(tmp_path / "sources" / "source", made.manifest, made.network)
    artifact(tmp_path / "data", val=0)
    row = run(tmp_path, candidate(Full())).row
    assert (row.val_score, row.val_method) == (None, "none: no validation images")


def test_what_a_zero_candidate_stores_predicts_what_it_scored(folders: Path) -> None:
    made = run(folders, candidate(Zero()))
    network, _ = load_checkpoint(folders / "out")
    val = Samples([datasets.read(folders / "data").val])
    found = score(outputs(network, val, made.input, CPU), val.labels)
    assert found.main == pytest.approx(made.row.val_score)
    assert np.isclose(made.row.examples_seen, 0)


def test_progress_counts_the_folds_too(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, str]] = []
    monkeypatch.setattr(events, "progress", lambda done, total, message="", **_: seen.append((done, total, message)))
    run(folders, candidate(Full(), cross_validate=True))
    planned = 12 * 18 + 10 * 12 * 24
    assert {total for _, total, _ in seen} == {planned}
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (planned, planned, "done")
    assert any(message == "fold 3 of 10, epoch 2" for _, _, message in seen)
