"""Real, small artifacts for the proof's tests: a dataset of two textures, networks trained on it for a moment."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from graftline.config import Head, Small
from graftline.data import dataset
from graftline.data.dataset import DatasetManifest
from graftline.models import checkpoint
from graftline.models.checkpoint import CandidateResult, CheckpointManifest
from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import prepare
from graftline.runtime import manifest
from tests.builders import onnx_models
from tests.builders.networks import build

SIZES = {"train": 60, "val": 40, "test": 120}
CONTRACT = InputContract(stored=onnx_models.STORED, channels=1, height=8, width=8, mean=[0.4], std=[0.2])


def images(count: int, seed: int, contrast: int = 22) -> tuple[np.ndarray, np.ndarray]:
    """As `tiny_onnx.images`, but hard enough to leave errors."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    pixels = rng.integers(0, 180, (count, *onnx_models.STORED))
    for i, label in enumerate(labels):
        pixels[i, :, 4 * label : 4 * label + 4] += contrast
    return pixels.astype(np.uint8), labels.astype(np.int64)


def make_dataset(folder: Path, sizes: dict[str, int] | None = None, *, contrast: int = 22) -> DatasetManifest:
    sizes = sizes or SIZES
    pixels, labels = images(sum(sizes.values()), 0, contrast)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", pixels)
    np.save(folder / "labels.npy", labels)
    return manifest.write(
        folder,
        DatasetManifest(
            label="tiny",
            format="idx",
            classes=onnx_models.CLASSES,
            sizes=sizes,
            image_shape=onnx_models.STORED,
            mean=[0.4],
            std=[0.2],
            dropped=[],
            seed=0,
            ledger="sha256:0",
            fingerprint="tiny",
            digest="sha256:tiny",
        ),
    )


def make_checkpoint(
    folder: Path,
    data: Path,
    name: str,
    *,
    strategy: str = "full",
    seed: int = 0,
    steps: int = 40,
    row: CandidateResult | None = None,
    poison: bool = False,
    digest: str | None = "its own",
) -> CheckpointManifest:
    """Trains an mlp; `poison` puts a NaN into it, a row that is not ok leaves it out."""
    row = row or CandidateResult(
        source="pixels",
        strategy=strategy,
        examples_seen=steps * 60,
        train_seconds=0.1,
        converged=True if strategy == "control" else None,
        trained_parameters=1,
        learning_rate=1e-2,
    )
    opened = dataset.read(data)
    network = None
    if row.status == "ok":
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        network = build("mlp", 2, input=CONTRACT, small=Small(widths=[16]), head=Head())
        x = prepare(torch.from_numpy(np.array(opened.train.images)), CONTRACT)
        y = torch.from_numpy(np.array(opened.train.labels))
        optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(network(x), y).backward()
            optimizer.step()
        if poison:
            next(network.parameters()).data.fill_(float("nan"))
    made = CheckpointManifest(
        name=name,
        backbone="mlp",
        small=Small(widths=[16]),
        head=Head(),
        classes=onnx_models.CLASSES,
        input=CONTRACT,
        strategy=strategy,
        seed=seed,
        dataset_digest=opened.manifest.digest if digest == "its own" else digest,
        config="{}",
        licence="none",
        row=row,
    )
    return checkpoint.write(folder, made, network)
