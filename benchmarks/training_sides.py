"""Training loops compared in `train.py`: one network on the same photos, trained by graftline and by its peers."""

import importlib.util
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CORES, RATE, SEED = os.cpu_count() or 1, 1e-4, 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = (0.35, 1.0)  # as graftline's `crop`
Epoch = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A network and its data."""

    backbone: str
    side: int
    batch: int
    train: int
    epochs: int
    """Epochs for the comparison of accuracy."""
    faster: float
    """Target speedup of `feature`."""


CASES = {"resnet18": Case("resnet18", 224, 16, 128, 3, 10), "mobilenet_v2": Case("mobilenet_v2", 96, 32, 240, 4, 20)}


# Data: ants and bees


def unpack(data: Path, case: Case, into: Path) -> None:
    """Writes the photos as files in one folder per class, and decoded as arrays, as in a dataset artifact."""
    import numpy as np
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    draw = random.Random(SEED)
    with zipfile.ZipFile(data / "hymenoptera.zip") as opened:
        for split, most in (("train", case.train), ("val", 10**6)):
            names = sorted(n for n in opened.namelist() if f"/{split}/" in n and n.endswith(".jpg"))
            for name in draw.sample(names, min(most, len(names))):
                path = into / split / Path(name).parent.name / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(opened.read(name))
    for split in ("train", "val"):
        steps = [transforms.Resize(case.side), transforms.CenterCrop(case.side), transforms.PILToTensor()]
        pairs = list(ImageFolder(into / split, transforms.Compose(steps)))
        np.save(into / f"{split}.npy", np.stack([image.numpy() for image, _ in pairs]))
        np.save(into / f"{split}-labels.npy", np.array([label for _, label in pairs]))


def samples(folder: Path, split: str) -> Any:
    import numpy as np

    from graftline.data.dataset import Split
    from graftline.training.batches.samples import Samples

    return Samples([Split(np.load(folder / f"{split}.npy", mmap_mode="r"), np.load(folder / f"{split}-labels.npy"))])


# The sides


def start(case: Case, data: Path) -> Any:
    """Builds the initial network: MobileNetV2 from ImageNet weights, ResNet-18 from random weights."""
    import torch

    from graftline.models.devices import seeded
    from graftline.models.network import build_network
    from graftline.models.spec import NetworkSpec

    with seeded(SEED, "benchmark"):
        network = build_network(NetworkSpec(backbone=case.backbone, classes=["a", "b"], input=contract(case)))
    weights = data / "weights" / "mobilenet_v2.pth"
    if case.backbone == "mobilenet_v2" and weights.is_file():
        state = torch.load(weights, weights_only=True)
        own = network.backbone.state_dict()
        given = {key: state[key] for key in own if key in state}
        assert len(given) == len(own), f"{len(given)} of {len(own)} weights in the file"
        network.backbone.load_state_dict(given)
    return network


def contract(case: Case) -> Any:
    from graftline.models.inputs.sizes import contract_for

    return contract_for(case.backbone, stored=(3, case.side, case.side), mean=MEAN, std=STD)


def ours(case: Case, network: Any, folder: Path, **options: Any) -> Epoch:
    from graftline.training.loop.loop import TrainingLoop, TrainingStage
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.progress import Progress

    train = samples(folder, "train")
    loop = TrainingLoop(
        network,
        [parameter_group([network], RATE)],
        training(case, **options),
        contract(case),
        TrainingStage(SEED, device(), Progress(1)),
    )
    return lambda: (loop.epoch(train, lambda step: 1.0), loop)[1]


def training(case: Case, **options: Any) -> Any:
    from graftline.config import Training

    return Training(epochs=100, batch_size=case.batch, augment="crop", weight_decay=1e-2, **options)


def device() -> Any:
    import torch

    return torch.device("cpu")


def optimizer(network: Any) -> Any:
    import torch

    return torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=RATE)


def plain_step(network: Any) -> Callable[[Any, Any], None]:
    """Returns the step of torchvision's reference: forward, loss, backward, optimizer."""
    from torch.nn import functional

    made = optimizer(network)

    def step(images: Any, labels: Any) -> None:
        loss = functional.cross_entropy(network(images), labels)
        made.zero_grad()
        loss.backward()
        made.step()

    return step


def loader(case: Case, folder: Path) -> Any:
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(case.side, scale=SCALE),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(
        ImageFolder(folder / "train", steps), case.batch, shuffle=True, num_workers=CORES, persistent_workers=True
    )


def over(batches: Any, step: Callable[[Any, Any], None], network: Any) -> Epoch:
    def epoch() -> None:
        network.train()
        for images, labels in batches:
            step(images, labels)

    return epoch


def torchvision(case: Case, network: Any, folder: Path) -> Epoch:
    return over(loader(case, folder), plain_step(network), network)


def timm(case: Case, network: Any, folder: Path) -> Epoch:
    from timm.data import create_loader
    from torchvision.datasets import ImageFolder

    batches = create_loader(
        ImageFolder(folder / "train"),
        (3, case.side, case.side),
        case.batch,
        is_training=True,
        use_prefetcher=False,
        scale=SCALE,
        hflip=0.5,
        mean=MEAN,
        std=STD,
        num_workers=CORES,
        persistent_workers=True,
        device=device(),
    )
    return over(batches, plain_step(network), network)


def lightning(case: Case, network: Any, folder: Path) -> Epoch:
    import logging
    import warnings

    import lightning as lightning_
    from torch.nn import functional

    warnings.simplefilter("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(lightning_.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, number: int) -> Any:
            images, labels = batch
            return functional.cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> Any:
            return optimizer(self.network)

    module, batches = Module(), loader(case, folder)

    def epoch() -> None:
        trainer = lightning_.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches)

    return epoch


def in_memory(case: Case, network: Any, folder: Path) -> Epoch:
    """Trains on uint8 tensors in memory, with one random crop per batch, which is cheaper than one per image."""
    import numpy as np
    import torch
    from torchvision.transforms import v2

    images = torch.from_numpy(np.load(folder / "train.npy"))
    labels = torch.from_numpy(np.load(folder / "train-labels.npy"))
    steps = v2.Compose(
        [
            v2.RandomResizedCrop(case.side, scale=SCALE),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )

    def batches() -> Iterator[tuple[Any, Any]]:
        for rows in torch.randperm(len(images)).split(case.batch):
            yield steps(images[rows]), labels[rows]

    step = plain_step(network)

    def epoch() -> None:
        network.train()
        for batch in batches():
            step(*batch)

    return epoch


def synthetic(case: Case, network: Any, folder: Path) -> Epoch:
    """Trains on one batch in memory, with the layout, precision and optimizer that graftline uses."""
    import torch
    from torch.nn import functional

    from graftline.models.devices import as_input, lay_out, place
    from graftline.training.loop.optimizer import build_optimizer, parameter_group

    place(network, device())
    made = build_optimizer([parameter_group([network], RATE)], training(case))
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(case.batch, 3, case.side, case.side, generator=generator)
    labels = torch.randint(2, (case.batch,), generator=generator)

    def epoch() -> None:
        chosen = json.loads((folder / "chosen.json").read_text())  # written by the epochs of graftline
        lay_out(network, chosen["layout"])
        batch = as_input(inputs, chosen["layout"])
        network.train()
        for low in range(0, case.train, case.batch):
            size = min(case.batch, case.train - low)
            made.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=chosen["precision"] == "bf16"):
                out = network(batch[:size])
            functional.cross_entropy(out.float(), labels[:size]).backward()
            made.step()

    return epoch


PEERS: dict[str, Callable[[Case, Any, Path], Epoch]] = {
    "torchvision": torchvision,
    "timm": timm,
    "lightning": lightning,
}
SIDES = {"ours": ours, **PEERS, "in memory": in_memory, "synthetic": synthetic}


def there() -> list[str]:
    return [name for name in PEERS if name == "torchvision" or importlib.util.find_spec(name)]
