"""Tiny learnable images, and a task around them, for the tests of training and strategies."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graftline.config import Control, Head, Small, StrategyOptions, Training
from graftline.data import dataset as datasets
from graftline.data.dataset import DatasetManifest, Split, StoredSample
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.devices import seeded
from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import prepare
from graftline.models.inputs.sizes import contract_for
from graftline.models.network import Network
from graftline.strategies import STRATEGIES
from graftline.training.batches.samples import Samples
from graftline.training.interface import SourceModel, StrategyInput
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import parameter_group
from graftline.training.progress import Progress
from tests.builders.networks import build

CPU = torch.device("cpu")
CLASSES = ["one", "two", "three"]
OPTIONS: dict[str, StrategyOptions | None] = {
    name: None if strategy.is_control else strategy.tested[0] for name, strategy in STRATEGIES.items()
}


def split(a_class: int, *, side: int = 16, channels: int = 1, classes: int = 3, seed: int = 0) -> Split:
    """Noise with a bright bar whose place is the class."""
    draw = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), a_class)
    images = draw.integers(0, 60, (len(labels), channels, side, side), dtype=np.uint8)
    width = side // classes
    for image, label in zip(images, labels, strict=True):
        image[:, :, label * width : (label + 1) * width] += 150
    return Split(images, labels)


def contract(backbone: str = "cnn", *, side: int = 16, channels: int = 1) -> InputContract:
    return contract_for(backbone, stored=(channels, side, side), mean=[0.5], std=[0.25])


CONTRACT = contract()


def small_network(seed: int = 0) -> Network:
    """Builds a cnn with 3 classes."""
    with seeded(seed, "test"):
        return build("cnn", 3, input=CONTRACT, small=Small(widths=[8, 12]))


def training_loop(net: Network, *, lr: float = 3e-3, seed: int = 0, **training: Any) -> TrainingLoop:
    """Builds a loop that trains all weights of a network on the CPU."""
    options = Training(**{"augment": "none", "batch_size": 8, **training})
    return TrainingLoop(net, [parameter_group([net], lr)], options, CONTRACT, TrainingStage(seed, CPU, Progress(1)))


def constant_schedule(step: int) -> float:
    return 1.0


def start(
    backbone: str = "cnn",
    *,
    side: int = 16,
    channels: int = 1,
    classes: list[str] = CLASSES,
    seed: int = 5,
    strategy: str = "pretrain",
    small: Small = Small(widths=[8, 12]),  # noqa: B008
    head: Head = Head(),  # noqa: B008
) -> SourceModel:
    """A source with drawn weights and moved running statistics, said to be pretrained."""
    made = contract(backbone, side=side, channels=channels)
    with seeded(seed, "source"):
        network = build(backbone, len(classes), input=made, small=small, head=head)
        images = prepare(torch.from_numpy(split(8, side=side, channels=channels, seed=3).images), made)
        network.train()
        with torch.no_grad():
            for _ in range(40):  # running statistics come to rest, as after a real training
                network(images)
    manifest = CheckpointManifest(
        name="source",
        backbone=backbone,
        small=small,
        head=head,
        classes=classes,
        input=made,
        strategy=strategy,
        seed=seed,
        dataset_digest=None,
        config="{}",
        licence="test",
        digest="sha256:source",
        row=CandidateResult(source="source", strategy=strategy),
    )
    return SourceModel(network.eval(), manifest)


def task(
    strategy: str,
    source: SourceModel,
    *,
    a_class: int = 6,
    val: int = 4,
    classes: list[str] = CLASSES,
    training: Training | None = None,
    **changes: Any,
) -> StrategyInput:
    channels, height, _ = source.manifest.input.stored
    pool = Samples(
        [
            split(a_class, side=height, channels=channels, classes=len(classes), seed=1),
            split(val, side=height, channels=channels, classes=len(classes), seed=2),
        ]
    )
    count = a_class * len(classes)
    made = StrategyInput(
        start=source,
        options=OPTIONS[strategy],
        train=pool.subset(pool.indices[:count]),
        val=pool.subset(pool.indices[count:]),
        classes=classes,
        image_shape=(channels, height, height),
        head=source.manifest.head,
        training=training or Training(epochs=3, augment="none", batch_size=8),
        control=Control(patience=2),
        longest=4 * count,
        control_rate=None,
        seed=0,
        device=CPU,
        progress=Progress(1),
    )
    return made if not changes else StrategyInput(**{**vars(made), **changes})


def artifact(
    folder: Path,
    *,
    train: int = 6,
    val: int = 4,
    test: int = 4,
    side: int = 16,
    classes: list[str] = CLASSES,
    label: str = "tiny",
) -> Path:
    """Writes a dataset artifact."""
    folder.mkdir(parents=True)
    parts = [split(count, side=side, classes=len(classes), seed=seed) for seed, count in enumerate((train, val, test))]
    images = np.concatenate([part.images for part in parts])
    names = ["train"] * len(parts[0]) + ["val"] * len(parts[1]) + ["test"] * len(parts[2])
    labels = np.concatenate([part.labels for part in parts])
    samples = [
        StoredSample(str(n), classes[y], s, hashlib.sha256(i.tobytes()).hexdigest())  # type: ignore[arg-type]
        for n, (i, y, s) in enumerate(zip(images, labels, names, strict=True))
    ]
    manifest = DatasetManifest(
        label=label,
        format="test",
        classes=classes,
        image_shape=(1, side, side),
        mean=[0.5],
        std=[0.25],
        dropped=[],
        sizes={"train": len(parts[0]), "val": len(parts[1]), "test": len(parts[2])},
        seed=0,
        ledger="sha256:0",
        fingerprint="f",
        digest=datasets.content_digest(samples),
    )
    datasets.write(folder, manifest, (image.tobytes() for image in images), samples, "{}", lambda *_: "<html>")
    return folder
