"""Time of an epoch and of a head on frozen features, and peak memory, compared with common training loops.

    .venv/bin/python -m pip install timm lightning
    .venv/bin/python benchmarks/train.py [--rounds 3] [--json FILE] [--only resnet18] [--parts epochs memory]

The peers train the same network on the same images with the same optimizer, batch size, epochs and threads, in float32:
a loop based on torchvision's reference (ImageFolder, RandomResizedCrop, flip, DataLoader with one worker per core),
timm's loader and step, and Lightning's trainer. graftline reads images decoded by `preprocess`, and probes layout and
precision before the first epoch, which is not timed for any of them; the chosen setting is printed. Accuracy after the
same epochs is compared first: a faster training with lower accuracy does not count. In-memory peers read uint8 tensors.
"""

import argparse
import copy
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from results import Row, shared_data, show
from training_sides import (
    CASES,
    CORES,
    PEERS,
    SEED,
    SIDES,
    Case,
    contract,
    device,
    loader,
    samples,
    start,
    there,
    training,
    unpack,
)


def epochs(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Times epochs of all sides in turn; the first round warms up, probes and starts workers."""
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
                chosen = result.stepper.settings()  # type: ignore[attr-defined]
                (folder / "chosen.json").write_text(json.dumps(chosen))
    return {"seconds": found, "chosen": chosen, "threads": torch.get_num_threads()}


def accuracy(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Computes the accuracy on held-out images after the same epochs from the same weights."""
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
    """Times a head on a frozen network: on features computed once, and in 10 epochs through the network."""
    import torch
    from torch.nn import functional

    from graftline.models.devices import place
    from graftline.training.head.heads import FeatureSet, fit_head
    from graftline.training.interface import SourceModel
    from graftline.training.progress import Progress
    from graftline.training.recipe import head_iterations

    held, train, seconds = samples(folder, "val"), samples(folder, "train"), {"ours": [], "torchvision": []}
    found = {}
    for _ in range(rounds + 1):  # the first round, which includes lazy imports of torch, is dropped
        network = start(case, data)
        began = time.perf_counter()
        place(network, device())
        features = SourceModel(network, None).frozen_outputs(
            "features", network.backbone, train, contract(case), device()
        )
        fit_head(
            network.head,
            FeatureSet(features, torch.from_numpy(train.labels)),
            training(case),
            iterations=head_iterations(len(train)),
            seed=SEED,
            progress=Progress(1),
        )
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


def compiling(case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Times epochs without and with torch.compile in float32; the first epochs compile and are separate."""
    options = {"precision": "fp32", "layout": "channels_last"}
    sides = {
        name: SIDES["ours"](case, start(case, data), folder, compile=name == "compiled", **options)
        for name in ("plain", "compiled")
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 1):
        for name, epoch in sides.items():
            began = time.perf_counter()
            epoch()
            found[name].append(time.perf_counter() - began)
    return {"first": found["compiled"][0], "seconds": {name: each[1:] for name, each in found.items()}}


def share(process: int) -> float:
    """Returns the proportional set size in MB of a process and its children, such as loader workers."""
    try:
        pages = Path(f"/proc/{process}/smaps_rollup").read_text().split("Pss:", 1)[1].split()[0]
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0.0  # the process has ended
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
    "epochs": epochs,
    "accuracy": accuracy,
    "head": head,
    "compile": compiling,
    **{f"memory of {name}": memory(name) for name in SIDES},
}


def run(name: str, case: Case, data: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Runs a measurement in its own process; the probe's cache is shared, except for memory measurements."""
    cache = folder / ("cache" if not name.startswith("memory") else "fresh")
    answer = subprocess.run(
        [sys.executable, __file__, "--child", name, case.backbone, str(data), str(folder), "--rounds", str(rounds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"GRAFTLINE_CACHE": str(cache)},
    ).stdout
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def epoch_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    learned = run("accuracy", case, data, work, rounds)
    equal(learned, what)
    found = run("epochs", case, data, work, rounds)
    seconds = {name: statistics.median(each) for name, each in found["seconds"].items()}
    chosen = f"{found['chosen']['precision']}, {found['chosen']['layout']}"
    fastest = min(there(), key=lambda name: seconds[name])
    mine = seconds["ours"]
    rows = [
        row(
            f"{what} ({chosen}): an epoch from disk; peer: {name}" + (", the fastest" * (name == fastest)),
            mine,
            seconds[name],
            seconds[name] / mine,
            1.5 if name == fastest else None,
            "s",
            rounds,
        )
        for name in there()
    ]
    rows += [absent(f"{what}: an epoch from disk; peer: {name}", rounds) for name in PEERS if name not in there()]
    rows += [
        row(
            f"{what}: an epoch; peer: in memory",
            mine,
            seconds["in memory"],
            seconds["in memory"] / mine,
            1.0,
            "s",
            rounds,
        ),
        row(
            f"{what}: an epoch; peer: the same steps on a synthetic batch",
            mine,
            seconds["synthetic"],
            seconds["synthetic"] / mine,
            0.95,
            "s",
            rounds,
        ),
    ]
    return rows


def head_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    found = run("head", case, data, work, rounds)
    equal(found, f"{what}, head")
    mine, other = (statistics.median(found["seconds"][name]) for name in ("ours", "torchvision"))
    return [
        row(
            f"{what}: `feature`; peer: 10 epochs through the frozen network",
            mine,
            other,
            other / mine,
            case.faster,
            "s",
            rounds,
        )
    ]


def memory_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    peak = {name: run(f"memory of {name}", case, data, work, 1)["peak_mb"] for name in ["ours", *there()]}
    least = min((name for name in peak if name != "ours"), key=lambda name: peak[name])
    ratio = peak[least] / peak["ours"]
    return [
        row(
            f"{what}: peak memory, workers included; peer: {least}, the least",
            peak["ours"],
            peak[least],
            ratio,
            1.0,
            "MB",
            1,
        )
    ]


def compile_rows(case: Case, data: Path, work: Path, rounds: int) -> list[Row]:
    found = run("compile", case, data, work, rounds)
    mine, plain = (statistics.median(found["seconds"][name]) for name in ("compiled", "plain"))
    what = f"{case.backbone} at {case.side}, batch {case.batch}"
    return [
        row(
            f"{what}: an epoch with `compile`, {found['first']:.0f} s the first; peer: without",
            mine,
            plain,
            plain / mine,
            None,
            "s",
            rounds,
        )
    ]


PARTS = {"epochs": epoch_rows, "head": head_rows, "memory": memory_rows, "compile": compile_rows}


def equal(found: dict[str, Any], what: str) -> None:
    """Raises an error if graftline is significantly less accurate (95%, on the same held-out images)."""
    mine, other = found["accuracy"]["ours"], found["accuracy"]["torchvision"]
    share = (mine + other) / 2
    margin = 1.96 * math.sqrt(2 * share * (1 - share) / found["images"])
    print(f"{what}: accuracy {mine:.3f}, peer {other:.3f}, interval +-{margin:.3f}, {found['images']} images")
    assert mine >= other - margin, f"{what}: less accurate than its peer: no result"


def row(what: str, mine: float, peer: float, ratio: float, goal: float | None, unit: str, rounds: int) -> Row:
    return {
        "what": what,
        "ours": round(mine, 3),
        "peer": round(peer, 3),
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": None if goal is None else ratio >= goal,
        "unit": unit,
        "rounds": rounds,
    }


def absent(what: str, rounds: int) -> Row:
    return {
        "what": f"{what}: not installed",
        "ours": None,
        "peer": None,
        "ratio": None,
        "goal": None,
        "met": None,
        "unit": "s",
        "rounds": rounds,
    }


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
    data = shared_data()
    rows = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as work:
            unpack(data, CASES[name], Path(work))
            for part in options.parts:
                rows += PARTS[part](CASES[name], data, Path(work), options.rounds)
    show(rows, f"{CORES} cores; ratio: how many times ours is faster, or smaller", options.json, width=170)


if __name__ == "__main__":
    main()
