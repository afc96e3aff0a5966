"""Numbers and several labels, from a table to trained checkpoints."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graftline.config import Columns, Control, Data, Head, Small, TaskName, Training
from graftline.config.jobs import PlanJob, PreprocessJob, PretrainJob
from graftline.data import dataset as datasets
from graftline.models.checkpoint import CheckpointManifest
from graftline.models.devices import pick
from graftline.models.loading import load_checkpoint
from graftline.steps.finetune import finetune
from graftline.steps.plan import plan
from graftline.steps.preprocess import preprocess
from graftline.steps.pretrain import pretrain
from graftline.strategies.feature import Feature
from graftline.strategies.full import Full
from graftline.training.batches.samples import Samples
from graftline.training.validation import outputs, score
from tests.builders.tables import format_csv

SIDE = 16
TRAINING = Training(
    epochs=8,
    augment="none",
    batch_size=16,
    learning_rate=3e-3,
    mixup=0,
    cutmix=0,
    ema=0,
    patience=0,
    label_smoothing=0,
    weight_decay=0,
    precision="fp32",
    layout="contiguous",
)


def numbers(folder: Path, count: int, seed: int) -> Data:
    """A bar whose place and brightness are the numbers, in centimeters and lumens."""
    draw = np.random.default_rng(seed)
    rows = []
    folder.mkdir()
    for number in range(count):
        place, light = int(draw.integers(0, SIDE - 3)), int(draw.integers(100, 256))
        image = draw.integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
        image[:, place : place + 3] = light
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append((f"{number}.png", 1000 + place / 10, -light))
    (folder / "labels.csv").write_text(format_csv(rows, ("path", "x", "light")))
    return Data(data=str(folder), columns=Columns(labels=["x", "light"]), near_duplicates=False)


def labels(folder: Path, count: int, seed: int) -> Data:
    """A standing bar, a lying bar, both or none."""
    draw = np.random.default_rng(seed)
    rows = []
    folder.mkdir()
    for number in range(count):
        image = draw.integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
        held = [name for name in ("lying", "standing") if draw.random() < 0.5]
        place = int(draw.integers(0, SIDE - 3))
        if "standing" in held:
            image[:, place : place + 3] = 200
        if "lying" in held:
            image[place : place + 3] = 200
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append((f"{number}.png", str(held).replace("'", '"')))
    (folder / "labels.csv").write_text(format_csv(rows, ("path", "label")))
    return Data(data=str(folder), near_duplicates=False)


MADE = {"regression": numbers, "multilabel": labels}


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_every_training_learns_it_and_its_checkpoint_says_it(task: TaskName, tmp_path: Path) -> None:
    whole = PreprocessJob(
        label="bars", data=MADE[task](tmp_path / "raw", 200, 0), image_size=None, seed=0, fingerprint="", task=task
    )
    target = preprocess(whole, out=tmp_path / "target")
    preprocess(
        whole.model_copy(update={"data": MADE[task](tmp_path / "other", 120, 1), "label": "old"}),
        out=tmp_path / "source",
        target=tmp_path / "target",
    )
    source = pretrain(
        PretrainJob(
            label="old",
            init="random",
            backbone="cnn",
            small=Small(widths=[8, 16]),
            head=Head(),
            training=TRAINING,
            seed=0,
        ),
        dataset=tmp_path / "source",
        out=tmp_path / "old",
    )
    assert (source.task, source.classes) == (task, target.classes)
    jobs = plan(
        PlanJob(
            strategies=[Feature(), Full()],
            head=Head(),
            training=TRAINING,
            control=Control(patience=3, max_examples_seen=800),
            seed=0,
        ),
        sources=[tmp_path / "old"],
        dataset=tmp_path / "target",
        out=tmp_path / "sources",
    ).candidates
    assert [job.strategy_name for job in jobs] == ["feature", "full", "control"]
    assert jobs[0].cross_validate
    for job in jobs:
        done = finetune(
            job.model_copy(update={"cross_validate": job.strategy_name == "feature"}),
            sources=tmp_path / "sources",
            dataset=tmp_path / "target",
            out=tmp_path / job.name,
        )
        _check(done, tmp_path / job.name, tmp_path / "target", task)


def _check(done: CheckpointManifest, folder: Path, target: Path, task: TaskName) -> None:
    assert done.row.status == "ok", done.row.reason
    assert done.task == task
    assert done.row.val_score is not None
    data = datasets.read(target)
    network, read = load_checkpoint(folder)
    assert read.task == network.objective.task == task
    test = Samples([data.test])
    values = outputs(network, test, read.input, pick())
    found = score(values, test.labels, objective=network.objective)
    if task == "regression":
        assert -0.8 < done.row.val_score < 0  # the mean alone has -1
        assert found.main > -0.8
        assert np.abs(values[:, 0].numpy() - test.labels[:, 0]).mean() < 0.3  # centimeters beyond 1000
        assert done.row.val_accuracy is None
        assert network.objective.deviation == tuple(np.float32(data.manifest.target_std).tolist())
    else:
        assert done.row.val_score > 0.8
        assert found.main > 0.8
