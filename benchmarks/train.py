"""What training costs: an epoch, its input, a head on frozen features and memory, beside the usual loops.

    .venv/bin/python -m pip install timm lightning
    .venv/bin/python benchmarks/train.py [--rounds 3] [--json FILE] [--only resnet18] [--parts epochs head memory]

The peers train the same network on the same images with the same optimizer, batch, epochs and threads, in 32 bits: a
loop after torchvision's reference (ImageFolder, RandomResizedCrop, mirror, DataLoader with a worker a core), timm's
loader and step, Lightning's trainer. Ours reads what `preprocess` has decoded once, and probes layout and precision
before the first epoch, which is not timed on either side; what the probe chose is printed. Accuracy after the same
epochs is compared first: a faster training that learns less is no result. Peers in memory take uint8 tensors.
"""

import argparse
import copy
import importlib.util
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

CORES, RATE, SEED = os.cpu_count() or 1, 1e-4, 0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = (0.35, 1.0)  # as graftline's `crop`
Row = dict[str, object]
Epoch = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """A network and its data."""

    backbone: str
    side: int
    batch: int
    train: int
    epochs: int
    """For the comparison of accuracy."""
    faster: float
    """Goal of `feature`."""


CASES = {"resnet18": Case("resnet18", 224, 16, 128, 3, 10), "mobilenet_v2": Case("mobilenet_v2", 96, 32, 240, 4, 20)}


# Data: ants and bees


def unpack(data: Path, case: Case, into: Path) -> None:
    """Photographs as they come, in a folder a class, and the same ones decoded, as a dataset artifact holds them."""
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

    from graftline.dataset import Split
    from graftline.training.batches import Samples

    return Samples([Split(np.load(folder / f"{split}.npy", mmap_mode="r"), np.load(folder / f"{split}-labels.npy"))])


# The sides


def start(case: Case, data: Path) -> Any:
    """The network that all begin with: MobileNetV2 from ImageNet, ResNet-18 from random weights."""
    import torch

    from graftline.backbones import build
    from graftline.training.devices import seeded

    with seeded(SEED, "benchmark"):
        network = build(case.backbone, 2, input=contract(case))
    weights = data / "weights" / "mobilenet_v2.pth"
    if case.backbone == "mobilenet_v2" and weights.is_file():
        state = torch.load(weights, weights_only=True)
        own = network.backbone.state_dict()
        given = {key: state[key] for key in own if key in state}
        assert len(given) == len(own), f"{len(given)} of {len(own)} weights found"
        network.backbone.load_state_dict(given)
    return network


def contract(case: Case) -> Any:
    from graftline.backbones import contract_for

    return contract_for(case.backbone, stored=(3, case.side, case.side), mean=MEAN, std=STD)


def ours(case: Case, network: Any, folder: Path) -> Epoch:
    from graftline.training.loop import Loop
    from graftline.training.meter import Meter
    from graftline.training.optimizer import group

    train = samples(folder, "train")
    loop = Loop(network, [group([network], RATE)], training(case), contract(case), seed=SEED, device=device(),
                meter=Meter(1))
    return lambda: (loop.epoch(train, lambda step: 1.0), loop)[1]


def training(case: Case) -> Any:
    from graftline.config import Training

    return Training(epochs=100, batch_size=case.batch, augment="crop", weight_decay=1e-2)


def device() -> Any:
    import torch

    return torch.device("cpu")


def optimizer(network: Any) -> Any:
    import torch

    return torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], lr=RATE)


def plain_step(network: Any) -> Callable[[Any, Any], None]:
    """torchvision's reference: forward, loss, back, step."""
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

    steps = transforms.Compose([transforms.RandomResizedCrop(case.side, scale=SCALE), transforms.RandomHorizontalFlip(),
                                transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return DataLoader(ImageFolder(folder / "train", steps), case.batch, shuffle=True, num_workers=CORES,
                      persistent_workers=True)


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

    batches = create_loader(ImageFolder(folder / "train"), (3, case.side, case.side), case.batch, is_training=True,
                            use_prefetcher=False, scale=SCALE, hflip=0.5, mean=MEAN, std=STD, num_workers=CORES,
                            persistent_workers=True, device=device())
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
        trainer = lightning_.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                                     enable_progress_bar=False, enable_model_summary=False)
        trainer.fit(module, batches)

    return epoch


def in_memory(case: Case, network: Any, folder: Path) -> Epoch:
    """The plain loop on uint8 tensors: one random box a batch, which is cheaper than one an image."""
    import numpy as np
    import torch
    from torchvision.transforms import v2

    images = torch.from_numpy(np.load(folder / "train.npy"))
    labels = torch.from_numpy(np.load(folder / "train-labels.npy"))
    steps = v2.Compose([v2.RandomResizedCrop(case.side, scale=SCALE), v2.RandomHorizontalFlip(),
                        v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])

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
    """Our step without any input: the same network, layout, precision and optimizer on one batch in memory."""
    import torch
    from torch.nn import functional

    from graftline.training.devices import as_input, lay_out, place
    from graftline.training.optimizer import build, group

    place(network, device())
    made = build([group([network], RATE)], training(case))
    generator = torch.Generator().manual_seed(SEED)
    inputs = torch.randn(case.batch, 3, case.side, case.side, generator=generator)
    labels = torch.randint(2, (case.batch,), generator=generator)

    def epoch() -> None:
        chosen = json.loads((folder / "chosen.json").read_text())  # ours wrote it before
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


PEERS: dict[str, Callable[[Case, Any, Path], Epoch]] = {"torchvision": torchvision, "timm": timm,
                                                       "lightning": lightning}
SIDES = {"ours": ours, **PEERS, "in memory": in_memory, "synthetic": synthetic}


def there() -> list[str]:
    return [name for name in PEERS if name == "torchvision" or importlib.util.find_spec(name)]


# What runs in a process of its own


def epochs(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Epochs of all sides in turns; the first round warms up, probes and starts workers."""
    import torch

    first, sides = start(case, data), {}
    for name in ["ours", *there(), "in memory", "synthetic"]:
        torch.manual_seed(SEED)
        sides[name] = SIDES[name](case, copy.deepcopy(first), folder)
    found: dict[str, list[float]] = {name: [] for name in sides}
    chosen: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, epoch in sides.items():
            began = time.perf_counter()
            result = epoch()
            if number:
                found[name].append(time.perf_counter() - began)
            elif name == "ours":
                chosen = result.stepper.chosen()  # type: ignore[attr-defined]
                (folder / "chosen.json").write_text(json.dumps(chosen))
    return {"seconds": found, "chosen": chosen, "threads": torch.get_num_threads()}


def accuracy(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Accuracy on held-out images after the same epochs from the same weights, ours and torchvision's."""
    import torch

    first, held, found = start(case, data), samples(folder, "val"), {}
    for name in ("ours", "torchvision"):
        network = copy.deepcopy(first)
        torch.manual_seed(SEED)
        epoch = SIDES[name](case, network, folder)
        for _ in range(case.epochs):
            epoch()
        found[name] = right(network, case, held)
    return {"accuracy": found, "images": len(held)}


def right(network: Any, case: Case, held: Any) -> float:
    from graftline.training.validation import outputs

    return float((outputs(network, held, contract(case), device()).argmax(1).numpy() == held.labels).mean())


def head(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """A head on a frozen network: ours by features once, the usual way by 10 epochs through the network."""
    import torch
    from torch.nn import functional

    from graftline.training.devices import place
    from graftline.training.heads import fit_head
    from graftline.training.meter import Meter
    from graftline.training.recipe import head_iterations
    from graftline.training.validation import outputs

    held, train, seconds = samples(folder, "val"), samples(folder, "train"), {"ours": [], "torchvision": []}
    found = {}
    for _ in range(rounds + 1):  # the first one, which also loads what torch loads late, is dropped on both sides
        network = start(case, data)
        began = time.perf_counter()
        place(network, device())
        features = outputs(network.backbone, train, contract(case), device())
        fit_head(network.head, features, torch.from_numpy(train.labels), training(case),
                 iterations=head_iterations(len(train)), seed=SEED, meter=Meter(1))
        seconds["ours"].append(time.perf_counter() - began)
        found["ours"] = right(network, case, held)

        network, batches = start(case, data), loader(case, folder)
        began = time.perf_counter()
        network.eval()
        network.backbone.requires_grad_(False)
        made = torch.optim.AdamW(network.head.parameters(), lr=1e-3)
        for _ in range(10):
            for images, labels in batches:
                loss = functional.cross_entropy(network(images), labels)
                made.zero_grad()
                loss.backward()
                made.step()
        seconds["torchvision"].append(time.perf_counter() - began)
        found["torchvision"] = right(network, case, held)
    return {"seconds": {name: each[1:] for name, each in seconds.items()}, "accuracy": found, "images": len(held)}


def share(process: int) -> float:
    """Megabytes of a process and of all that it started, such as workers of a loader; shared pages by their share."""
    try:
        pages = Path(f"/proc/{process}/smaps_rollup").read_text().split("Pss:", 1)[1].split()[0]
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0  # it has just ended
    return int(pages) / 1024 + sum(share(int(child)) for child in children)


def memory(side: str) -> Callable[[Case, Path, Path, int], dict[str, Any]]:
    def child(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
        network, peak, over = start(case, data), [0.0], threading.Event()

        def watch() -> None:
            while not over.wait(0.05):
                peak[0] = max(peak[0], share(os.getpid()))

        watching = threading.Thread(target=watch)
        watching.start()
        SIDES[side](case, network, folder)()
        over.set()
        watching.join()
        return {"peak_mb": peak[0]}

    return child


CHILDREN: dict[str, Callable[[Case, Path, Path, int], dict[str, Any]]] = {
    "epochs": epochs, "accuracy": accuracy, "head": head, **{f"memory of {name}": memory(name) for name in SIDES}}


def run(name: str, case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Runs one of these in a process of its own; what its probe finds is kept for the others, save for memory's."""
    cache = folder / ("cache" if not name.startswith("memory") else "fresh")
    answer = subprocess.run([sys.executable, __file__, "--child", name, case.backbone, str(data), str(folder),
                             "--rounds", str(rounds)], check=True, stdout=subprocess.PIPE, text=True,
                            env=os.environ | {"GRAFTLINE_CACHE": str(cache)}).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


# What is compared


def epoch_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    learned = run("accuracy", case, data, work, rounds)
    equal(learned, what)
    found = run("epochs", case, data, work, rounds)
    seconds = {name: statistics.median(each) for name, each in found["seconds"].items()}
    chosen = f"{found['chosen']['precision']}, {found['chosen']['layout']}"
    fastest = min(there(), key=lambda name: seconds[name])
    mine = seconds["ours"]
    rows = [row(f"{what} ({chosen}): an epoch from disk; peer: {name}" + (", the fastest" * (name == fastest)), mine,
                seconds[name], seconds[name] / mine, 1.5 if name == fastest else None, "s", rounds)
            for name in there()]
    rows += [absent(f"{what}: an epoch from disk; peer: {name}", rounds) for name in PEERS if name not in there()]
    rows += [row(f"{what}: an epoch; peer: in memory", mine, seconds["in memory"], seconds["in memory"] / mine, 1.0,
                 "s", rounds),
             row(f"{what}: an epoch; peer: the same steps on a synthetic batch", mine, seconds["synthetic"],
                 seconds["synthetic"] / mine, 0.95, "s", rounds)]
    return rows


def head_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    found = run("head", case, data, work, rounds)
    equal(found, f"{what}, head")
    mine, other = (statistics.median(found["seconds"][name]) for name in ("ours", "torchvision"))
    return [row(f"{what}: `feature`; peer: 10 epochs through the frozen network", mine, other, other / mine,
                case.faster, "s", rounds)]


def memory_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    peak = {name: run(f"memory of {name}", case, data, work, 1)["peak_mb"] for name in ["ours", *there()]}
    least = min((name for name in peak if name != "ours"), key=lambda name: peak[name])
    ratio = peak[least] / peak["ours"]
    return [row(f"{what}: peak memory, workers included; peer: {least}, the least", peak["ours"], peak[least],
                ratio, 1.0, "MB", 1)]


PARTS = {"epochs": epoch_rows, "head": head_rows, "memory": memory_rows}


def equal(found: dict[str, Any], what: str) -> None:
    """Stops where ours is clearly less accurate (95%, on the same held-out images)."""
    mine, other = found["accuracy"]["ours"], found["accuracy"]["torchvision"]
    share = (mine + other) / 2
    margin = 1.96 * math.sqrt(2 * share * (1 - share) / found["images"])
    print(f"{what}: accuracy {mine:.3f}, peer {other:.3f}, interval +-{margin:.3f}, {found['images']} images")
    assert mine >= other - margin, f"{what}: less accurate than its peer: no result"


def row(what: str, mine: float, peer: float, ratio: float, goal: float | None, unit: str, rounds: int) -> Row:
    return {"what": what, "ours": round(mine, 3), "peer": round(peer, 3), "ratio": round(ratio, 2), "goal": goal,
            "met": None if goal is None else ratio >= goal, "unit": unit, "rounds": rounds}


def absent(what: str, rounds: int) -> Row:
    return {"what": f"{what}: not installed", "ours": None, "peer": None, "ratio": None, "goal": None, "met": None,
            "unit": "s", "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, backbone, data, folder = options.child
        found = CHILDREN[name](CASES[backbone], Path(data), Path(folder), options.rounds)
        print(json.dumps(found))
        return
    data = Path(os.environ.get("GRAFTLINE_DATA", Path(__file__).parent.parent / "data"))
    if not data.is_dir():
        sys.exit(f"{data}: no shared data sets; set GRAFTLINE_DATA to their folder")
    rows = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as work:
            unpack(data, CASES[name], Path(work))
            for part in options.parts:
                rows += PARTS[part](CASES[name], data, Path(work), options.rounds)
    table = Table(*rows[0], caption=f"{CORES} cores; ratio: how many times ours is faster, or smaller")
    for each in rows:
        table.add_row(*map(str, each.values()))
    Console(width=170).print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
