"""A whole run's artifacts of a regression or a multilabel task, with real networks trained for a moment.

Images are 8 x 8 noise. Regression: `height` is where a bright bar lies, `glow` how bright it is, in units far apart.
Multilabel: each of three quarters is bright or not.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from graftline.config import Config, Gate, Head, Small, Source, Target
from graftline.config.jobs import EvaluateJob, ExportJob, GateJob
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest, StoredSample, content_digest, sample_digest
from graftline.data.labels.text import text_of_names, text_of_numbers
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest, EpochRecord
from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.models.objective import Objective
from graftline.runtime import manifest
from graftline.selection.result import Selection
from graftline.steps.evaluate import evaluate
from graftline.steps.export_onnx import export_onnx
from graftline.steps.gate import gate
from tests.builders.artifacts import Folders
from tests.builders.networks import build

SIZES = {"train": 120, "val": 40, "test": 160}
CONTRACT = InputContract(stored=(1, 8, 8), channels=1, height=8, width=8, mean=[0.3], std=[0.2])
NAMES = {"regression": ["height", "glow"], "multilabel": ["<b>left</b>", "right", "below"]}
SMALL = Small(widths=[16])


def samples(task: str, outputs: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 1, 8, 8) images and their labels (N, K)."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 70, (count, 1, 8, 8))
    if task == "multilabel":
        there = rng.random((count, outputs)) < np.array([0.5, 0.3, 0.2])[:outputs]
        for k, (rows, columns) in enumerate(
            [(slice(0, 4), slice(0, 4)), (slice(0, 4), slice(4, 8)), (slice(4, 8), slice(0, 8))][:outputs]
        ):
            pixels[:, :, rows, columns] += 16 * there[:, k, None, None, None]
        return pixels.astype(np.uint8), there.astype(np.float32)
    place, glow = rng.integers(0, 8, count), rng.uniform(20, 110, count)
    for i in range(count):
        pixels[i, 0, place[i]] += int(glow[i])
    values = np.stack([place + rng.normal(0, 0.5, count), 1000 + 10 * glow], axis=1)
    return pixels.astype(np.uint8), values[:, :outputs].astype(np.float32)


def make_dataset(folder: Path, task: str, outputs: int | None = None) -> DatasetManifest:
    names = NAMES[task][:outputs]
    images, labels = samples(task, len(names), sum(SIZES.values()))
    texts = [
        text_of_numbers(row)
        if task == "regression"
        else text_of_names(name for name, there in zip(names, row, strict=True) if there)
        for row in labels.tolist()
    ]
    splits = [name for name, size in SIZES.items() for _ in range(size)]
    lines = [
        StoredSample(f"scan/{i}.png", text, split, sample_digest(image))  # type: ignore[arg-type]
        for i, (text, split, image) in enumerate(zip(texts, splits, images, strict=True))
    ]
    train = labels[: SIZES["train"]].astype(np.float64)
    moments = {"target_mean": train.mean(0).tolist(), "target_std": train.std(0).tolist()}
    folder.mkdir(parents=True)
    made = DatasetManifest(
        label=f"tiny {task}",
        task=task,
        format="csv",
        classes=names,
        sizes=SIZES,
        image_shape=(1, 8, 8),
        mean=[0.3],
        std=[0.2],
        dropped=[],
        seed=0,
        ledger="sha256:ledger",
        fingerprint="sha256:raw",
        digest=content_digest(lines, task),
        **(moments if task == "regression" else {}),
    )
    return dataset.write(folder, made, (image.tobytes() for image in images), lines, "{}", lambda *_: "<html>")


def train(data: dataset.Dataset, steps: int, seed: int) -> tuple[Network, list[EpochRecord]]:
    """An mlp by AdamW, all images at once."""
    torch.manual_seed(seed)
    objective = Objective.of(data.manifest)
    network = build("mlp", len(data.manifest.classes), input=CONTRACT, small=SMALL, objective=objective)
    x = prepare(torch.from_numpy(np.array(data.train.images)), CONTRACT)
    y = torch.from_numpy(np.array(data.train.labels))
    deviation = torch.tensor(objective.deviation or (1.0,))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    curve = []
    for step in range(steps):
        optimizer.zero_grad()
        loss = (
            mse_loss(network(x) / deviation, y / deviation)
            if objective.task == "regression"
            else binary_cross_entropy_with_logits(network(x), y)
        )
        loss.backward()
        optimizer.step()
        if step % 2 == 0:
            value = float(loss.detach())
            curve.append(
                EpochRecord(
                    epoch=step,
                    train_loss=value,
                    val_loss=value,
                    examples_seen=120 * (step + 1),
                    val_score=-value if objective.task == "regression" else 1 - value,
                )
            )
    return network.eval(), curve


def make_checkpoint(
    folder: Path, data: dataset.Dataset, name: str, *, strategy: str, steps: int, seed: int = 0, poison: bool = False
) -> CheckpointManifest:
    network, curve = train(data, steps, seed)
    if poison:
        next(network.parameters()).data.fill_(float("nan"))
    row = CandidateResult(
        source="source",
        strategy=strategy,
        examples_seen=120 * steps,
        train_seconds=0.1,
        trained_parameters=9,
        converged=True if strategy == "control" else None,
        learning_rate=1e-2,
        val_score=curve[-1].val_score,
        val_score_se=0.02,
        val_method="validation split",
        recipe=["weight decay 0.05: few images"],
    )
    return checkpoint.write(
        folder,
        CheckpointManifest(
            name=name,
            backbone="mlp",
            small=SMALL,
            head=Head(),
            task=data.manifest.task,
            classes=data.manifest.classes,
            input=CONTRACT,
            strategy=strategy,
            seed=seed,
            dataset_digest=data.manifest.digest,
            config="{}",
            licence="none",
            row=row,
            history=curve,
        ),
        network,
    )


def config(task: str, policy: Gate) -> Config:
    return Config(
        source=[Source(name="source", init="random", data="builtin:digits/clean")],
        task=task,
        gate=policy,
        target=Target(data="builtin:digits/scanned"),
        backbone="mlp",
        strategies=["full"],
    )


def write_run(
    root: Path,
    task: str,
    *,
    outputs: int | None = None,
    seeds: int = 3,
    policy: Gate = Gate(),  # noqa: B008
) -> Folders:
    folders = Folders(root, config(task, policy))
    torch.set_num_threads(1)
    make_dataset(folders.dataset, task, outputs)
    data = dataset.read(folders.dataset)
    chosen = make_checkpoint(folders.chosen, data, "source-full", strategy="full", steps=60)
    control = make_checkpoint(folders.control, data, "control", strategy="control", steps=3)
    make_checkpoint(root / "sources" / "source", data, "source", strategy="pretrain", steps=5)
    more = []
    for seed in range(1, seeds):
        for strategy, steps in (("full", 60), ("control", 3)):
            more.append(root / f"{strategy}-{seed}")
            make_checkpoint(more[-1], data, f"{strategy}-seed{seed}", strategy=strategy, steps=steps, seed=seed)
    folders.selection.mkdir()
    manifest.write(
        folders.selection,
        Selection(
            names=[chosen.name, control.name],
            rows=[chosen.row, control.row],
            chosen=chosen.name,
            control=control.name,
            histories={found.name: found.history for found in (chosen, control)},
            cross_validated=False,
            why=["best on validation"],
        ),
    )
    evaluate(
        EvaluateJob(delta=0.01, seed=0),
        dataset=folders.dataset,
        sources=folders.sources,
        chosen=folders.chosen,
        control=folders.control,
        confirmations=more,
        out=folders.evaluation,
    )
    export_onnx(ExportJob(), **folders.paths("dataset", "chosen", "evaluation"), out=folders.onnx)
    judge(folders, policy)
    return folders


def judge(folders: Folders, policy: Gate) -> "object":
    return gate(
        GateJob(gate=policy, delta=0.01), **folders.paths("dataset", "onnx", "evaluation"), out=folders.root / "gate"
    )
