from pathlib import Path

import pytest
import torch

from graftline.config import Head, Small, Training
from graftline.config.jobs import PretrainJob
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.loading import load_checkpoint
from graftline.runtime import manifest
from graftline.runtime.errors import DivergedError
from graftline.steps.pretrain import pretrain
from tests.builders.training import CLASSES, artifact


def job(init: str = "random", **training: object) -> PretrainJob:
    options = Training(**{"epochs": 12, "batch_size": 8, "learning_rate": 3e-3, **training})  # type: ignore[arg-type]
    return PretrainJob(
        label="tiny", init=init, backbone="cnn", small=Small(widths=[8, 12]), head=Head(), training=options, seed=0
    )


def test_it_trains_on_the_sources_data_and_counts_its_cost(tmp_path: Path) -> None:
    made = pretrain(job(), dataset=artifact(tmp_path / "data"), out=tmp_path / "out")
    assert made == manifest.read(tmp_path / "out", CheckpointManifest, verify=True)
    assert (made.strategy, made.classes, made.name) == ("pretrain", CLASSES, "tiny")
    assert made.row.examples_seen == 12 * 18
    assert made.row.val_accuracy == 1
    assert made.row.val_method == "validation split"
    assert [point.epoch for point in made.history] == list(range(1, 13))
    assert made.dataset_digest is not None
    assert made.licence == "none: random weights"
    load_checkpoint(tmp_path / "out")


def test_without_data_the_weights_stay_as_they_came(tmp_path: Path) -> None:
    first = pretrain(job(), dataset=artifact(tmp_path / "data"), out=tmp_path / "first")
    empty = artifact(tmp_path / "empty", train=0, val=0, test=0)
    made = pretrain(job(init=str(tmp_path / "first")), dataset=empty, out=tmp_path / "out")
    assert (made.strategy, made.classes, made.parent) == ("given", CLASSES, first.digest)
    assert (made.row.examples_seen, made.history) == (0, [])
    before, after = (load_checkpoint(tmp_path / name)[0].state_dict() for name in ("first", "out"))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_random_weights_without_data_are_called_so(tmp_path: Path) -> None:
    made = pretrain(job(), dataset=artifact(tmp_path / "empty", train=0, val=0, test=0), out=tmp_path / "out")
    assert (made.strategy, made.dataset_digest) == ("random", None)


def test_a_chain_goes_on_from_given_weights_on_new_classes(tmp_path: Path) -> None:
    pretrain(job(), dataset=artifact(tmp_path / "data"), out=tmp_path / "first")
    other = artifact(tmp_path / "other", classes=["red", "green"])
    made = pretrain(job(init=str(tmp_path / "first"), epochs=1), dataset=other, out=tmp_path / "out")
    assert (made.strategy, made.classes) == ("pretrain", ["red", "green"])
    assert made.reinitialised == ["head.out.weight", "head.out.bias"]


def test_divergence_stops_the_step_and_names_epoch_and_batch(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"epoch 1, batch \d"):
        pretrain(job(learning_rate=1e12, optimizer="sgd"), dataset=artifact(tmp_path / "data"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_job_gives_the_same_weights(tmp_path: Path) -> None:
    data = artifact(tmp_path / "data")
    first, again = (pretrain(job(epochs=2), dataset=data, out=tmp_path / name) for name in ("a", "b"))
    assert first.digest == again.digest
