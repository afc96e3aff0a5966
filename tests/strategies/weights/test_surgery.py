from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graftline.config import Control, Head, Small, Training
from graftline.config.jobs import FinetuneJob, PretrainJob
from graftline.data import dataset as datasets
from graftline.models.loading import load_checkpoint
from graftline.steps.finetune import finetune
from graftline.steps.pretrain import pretrain
from graftline.strategies import feature, full
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.strategies.weights.carry import Carried, carried
from graftline.training.batches.samples import Samples
from graftline.training.interface import SourceModel, StrategyInput, StrategyResult, Surgery
from graftline.training.validation import outputs, score
from tests.builders.networks import build
from tests.builders.training import CLASSES, CPU, artifact, contract, start, task

MIXED = ["three", "four", "one"]


def rows(found: Carried | SourceModel) -> tuple[Tensor, Tensor]:
    state = found.network.state_dict()
    return state["head.out.weight"], state["head.out.bias"]


def of(source: SourceModel, classes: list[str], **changes: object) -> Carried:
    return carried(task("full", source, classes=classes, **changes), head=True)


def test_rows_of_shared_classes_are_kept_by_name() -> None:
    source = start()
    found = of(source, MIXED)
    for ours, theirs in zip(rows(found), rows(source), strict=True):
        assert torch.equal(ours[[0, 2]], theirs[[2, 0]])
    assert found.surgery == Surgery(kept=["three", "one"], new=["four"], dropped=["two"])
    assert found.notes == ["head: rows of 2 classes kept by name, 1 reinitialized, 1 of the source's dropped"]
    assert not found.head
    assert {"head.out.weight", "head.out.bias"} <= set(found.transferred.reinitialised)
    assert not [key for key in found.transferred.dropped if key.startswith("head.")]


def test_new_rows_are_as_far_from_the_mean_as_kept_ones_are() -> None:
    source = start()
    with torch.no_grad():
        source.network.get_submodule("head.out").weight.mul_(50)  # type: ignore[operator, union-attr]
    weight, bias = rows(source)
    center = weight.mean(0)
    ours = rows(of(source, [*MIXED, "five"]))
    wanted = (weight[[2, 0]] - center).norm(dim=1).mean()
    assert torch.allclose((ours[0][[1, 3]] - center).norm(dim=1), wanted)
    assert not torch.equal(ours[0][1], ours[0][3])
    assert torch.allclose(ours[1][[1, 3]], bias.mean())


def test_hidden_layers_come_along_where_they_fit() -> None:
    source = start(head=Head(hidden=[7, 5]))
    theirs = source.network.state_dict()
    found = of(source, MIXED)
    ours = found.network.state_dict()
    assert all(
        torch.equal(ours[f"head.hidden{n}.{part}"], theirs[f"head.hidden{n}.{part}"])
        for n in (1, 2)
        for part in ("weight", "bias")
    )
    assert found.surgery.kept == ["three", "one"]
    other = of(source, MIXED, head=Head(hidden=[7, 6]))  # rows behind other units would mean nothing
    assert torch.equal(other.network.state_dict()["head.hidden1.weight"], theirs["head.hidden1.weight"])
    assert {"head.hidden2.weight", "head.out.weight"} <= set(other.transferred.reinitialised)
    assert other.surgery == Surgery(kept=[], new=MIXED, dropped=["two"])


def test_no_namesake_leaves_the_head_as_it_was_drawn() -> None:
    source = start(head=Head(hidden=[7]))
    found = of(source, ["red", "green", "blue"])
    assert "head.hidden1.weight" in found.transferred.reinitialised
    assert found.surgery == Surgery(kept=[], new=["red", "green", "blue"], dropped=CLASSES)


def test_an_architectures_own_single_layer_gives_rows_too() -> None:
    made = contract("mobilenet_v2", side=32, channels=3)
    network = build("mobilenet_v2", 3, input=made, source_head=True)
    manifest = start().manifest.model_copy(update={"backbone": "mobilenet_v2", "input": made, "source_head": True})
    source = SourceModel(network.eval(), manifest)
    found = of(source, MIXED, head=Head())
    assert torch.equal(
        found.network.state_dict()["head.out.weight"][[0, 2]], network.state_dict()["head.1.weight"][[2, 0]]
    )
    assert found.transferred.dropped == []


def test_an_architectures_own_deep_head_gives_none() -> None:
    made = contract("mobilenet_v3_small", side=32, channels=3)
    network = build("mobilenet_v3_small", 3, input=made, source_head=True)
    update = {"backbone": "mobilenet_v3_small", "input": made, "source_head": True}
    found = of(SourceModel(network.eval(), start().manifest.model_copy(update=update)), CLASSES, head=Head())
    assert found.surgery.kept == []
    assert "head.out.weight" in found.transferred.reinitialised


def test_a_head_fitted_anew_keeps_no_row_and_says_so() -> None:
    trained = feature.train(task("feature", start(), classes=MIXED))
    assert trained.surgery == Surgery(kept=[], new=MIXED, dropped=["two"])
    assert full.train(task("full", start(), classes=MIXED)).surgery.kept == ["three", "one"]


def test_a_retrain_with_new_classes_keeps_the_old_ones_better_than_a_new_head() -> None:
    first = full.train(
        task(
            "full", start(), a_class=12, training=Training(epochs=25, augment="none", batch_size=8, learning_rate=5e-3)
        )
    )
    manifest = start().manifest
    few = Training(epochs=1, augment="none", batch_size=12, learning_rate=2e-4)
    # The same pictures in both; the source knows two of three classes, in the other case none of them by name.
    known = SourceModel(first.network.eval(), manifest)
    strange = SourceModel(first.network.eval(), manifest.model_copy(update={"classes": ["a", "b", "c"]}))
    kept, anew = (
        task("full", each, training=few, classes=["one", "two", "seven"], val=20) for each in (known, strange)
    )
    with_rows, without = (on_old(full.train(given), given) for given in (kept, anew))
    assert with_rows > 0.9
    assert with_rows > without + 0.2


def on_old(trained: StrategyResult, given: StrategyInput) -> float:
    """Accuracy on the classes that the source had too."""
    val = given.val.subset(np.flatnonzero(given.val.labels < 2))
    return score(trained.predict(val), val.labels).accuracy or 0.0


def test_from_a_checkpoint_folder_to_a_manifest_that_lists_the_classes(tmp_path: Path) -> None:
    def job(init: str) -> PretrainJob:
        return PretrainJob(
            label="source",
            init=init,
            backbone="cnn",
            small=Small(widths=[8, 12]),
            head=Head(),
            seed=0,
            training=Training(epochs=20, batch_size=8, learning_rate=5e-3, augment="none"),
        )

    pretrain(job("random"), dataset=artifact(tmp_path / "first", train=12), out=tmp_path / "model")
    empty = artifact(tmp_path / "empty", train=0, val=0, test=0)
    pretrain(job(str(tmp_path / "model")), dataset=empty, out=tmp_path / "sources" / "source")
    again = artifact(tmp_path / "again", classes=["one", "two", "seven"], val=20)
    made = {}
    for strategy in (Full(), Feature()):
        training = Training(epochs=1, batch_size=12, learning_rate=2e-4, augment="none")
        candidate = FinetuneJob(
            name=strategy.name,
            source="source",
            strategy=strategy,
            head=Head(),
            training=training,
            control=Control(),
            longest=18,
            cross_validate=False,
            seed=0,
        )
        made[strategy.name] = finetune(
            candidate, sources=tmp_path / "sources", dataset=again, out=tmp_path / strategy.name
        )
    full_ = made["full"]
    assert (full_.classes_kept, full_.classes_new, full_.classes_dropped) == (["one", "two"], ["seven"], ["three"])
    assert any("rows of 2 classes kept by name" in note for note in full_.row.notes)
    assert (made["feature"].classes_kept, made["feature"].classes_dropped) == ([], ["three"])
    assert made["feature"].classes_new == ["one", "two", "seven"]
    network, manifest = load_checkpoint(tmp_path / "full")
    val = Samples([datasets.read(again).val])
    old = val.subset(np.flatnonzero(val.labels < 2))
    assert (score(outputs(network, old, manifest.input, CPU), old.labels).accuracy or 0) > 0.9
