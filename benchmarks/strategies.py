"""Accuracy of every strategy and the control on real images with few labels, and of hand-set learning rates.

    .venv/bin/python benchmarks/strategies.py [--data ../shared/data] [--work FOLDER] [--cpu-minutes 90] [--json FILE]

Two sets at 96 pixels with ImageNet weights, ants and bees with MobileNetV2 and hurricane damage with SqueezeNet,
which has no batch norm; 10 and 50 labels a class, a fifth of them for validation, three draws; then all labels for
five strategies, one draw. A row is one training, scored once on the test split, with the recipe that graftline
chooses; the control is stopped at twice the examples of the longest candidate. `plain` rows are full fine-tuning set by
hand: AdamW with one learning rate for all layers, 20 epochs, nothing else. Completed rows are stored in
`FOLDER/rows.jsonl`: an interrupted run continues.
"""

import argparse
import json
import math
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # a process a core: rows don't wait for one another
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from results import Row, result_row
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.stats import t as student

SETS = {"hymenoptera": ("hymenoptera.zip", "mobilenet_v2"), "hurricane": ("hurricane_damage.zip", "squeezenet1_1")}
"""Name to archive and backbone: one with batch norm, one without."""
LABELS = (10, 50)
SEEDS = (0, 1, 2)
SIDE, TESTED, CONTROL = 96, 150, 2
"""Pixels, test images a class, and times the candidate's presentations after which a control is stopped here."""
RATES = (1e-4, 3e-4, 1e-3)
STRATEGIES = (
    "zero",
    "feature",
    "partial",
    "staged",
    "full",
    "structure",
    "l2",
    "l2sp",
    "delta",
    "bss",
    "stochnorm",
    "cotuning",
    "lora",
    "bitfit",
    "wise",
    "distill",
)
ON_ALL = ("feature", "staged", "full", "l2sp", "wise")


@dataclass(frozen=True)
class PlannedTraining:
    """One training to do."""

    set: str
    labels: int
    """A class; 0: all."""
    seed: int
    name: str


def rows() -> Iterator[PlannedTraining]:
    """Lists all rows, draw by draw, so that a table that was cut short is still even."""
    plain = [f"plain {rate:g}" for rate in RATES]
    for seed in SEEDS:
        for labels in LABELS:
            for name in SETS:
                for each in (*STRATEGIES, "control", *plain):
                    yield PlannedTraining(name, labels, seed, each)
    for name in SETS:
        for each in ON_ALL:
            yield PlannedTraining(name, 0, SEEDS[0], each)


def config(row: PlannedTraining, data: Path) -> Any:
    """A run's config, as a user would write it."""
    from graftline.config import Config

    archive, backbone = SETS[row.set]
    target: dict[str, Any] = {"data": str(data / archive), "test_per_class": TESTED}
    if row.labels:
        target |= {"train_per_class": row.labels * 4 // 5, "val_per_class": row.labels // 5}
    finetune: dict[str, Any] = {}
    if row.name.startswith("plain"):
        finetune = {
            "learning_rate": float(row.name.split()[1]),
            "epochs": 20,
            "mixup": 0,
            "cutmix": 0,
            "ema": 0,
            "patience": 0,
            "label_smoothing": 0,
            "balance": "none",
            "weight_decay": 0.01,
        }
    strategy = "full" if row.name == "control" or row.name.startswith("plain") else row.name
    return Config.model_validate(
        {
            "source": {"init": str(data / "weights" / f"{backbone}.pth"), "name": "imagenet"},
            "target": target,
            "backbone": backbone,
            "image_size": SIDE,
            "strategies": [strategy],
            "finetune": finetune,
            "seed": row.seed,
        }
    )


def artifacts(row: PlannedTraining, data: Path, work: Path) -> tuple[Path, Path]:
    """Makes dataset and source of a row, once."""
    from graftline.config.jobs import jobs_of
    from graftline.steps.preprocess import preprocess
    from graftline.steps.pretrain import pretrain

    jobs = jobs_of(config(row, data), {})
    target, source = work / f"{row.set}-{row.labels}-{row.seed}", work / f"{row.set}-source"
    if not (target / "manifest.json").exists():
        preprocess(jobs.target, out=target)
    if not (source / "manifest.json").exists():
        empty = work / f"{row.set}-empty"
        preprocess(jobs.sources[0].preprocess, out=empty, target=target)
        pretrain(jobs.sources[0].pretrain, dataset=empty, out=source)
    return target, source


def train(row: PlannedTraining, data: Path, work: Path) -> dict[str, Any]:
    """Trains one row and scores it on the test split."""
    from graftline.config.jobs import jobs_of
    from graftline.data import dataset as datasets
    from graftline.models.devices import pick
    from graftline.models.loading import load_checkpoint
    from graftline.runtime.errors import RefusedError
    from graftline.steps.finetune import finetune
    from graftline.steps.plan import plan
    from graftline.training.batches.samples import Samples
    from graftline.training.validation import outputs

    began = time.process_time()
    target, source = artifacts(row, data, work)
    out = work / "trained" / "-".join([row.set, str(row.labels), str(row.seed), row.name.replace(" ", "")])
    sources = out / "sources"
    jobs = plan(jobs_of(config(row, data), {}).plan, sources=[source], dataset=target, out=sources).candidates
    job = next(each for each in jobs if each.is_control == (row.name == "control"))
    capped = job.control.model_copy(update={"max_examples_seen": CONTROL * job.longest})
    accuracy = None
    try:
        made = finetune(
            job.model_copy(update={"cross_validate": False, "control": capped}),
            sources=sources,
            dataset=target,
            out=out,
        )
    except RefusedError as error:
        return {
            **asdict(row),
            "accuracy": None,
            "status": "refused",
            "reason": str(error),
            "examples_seen": 0,
            "seconds": 0.0,
            "cpu": round(time.process_time() - began, 1),
            "converged": None,
        }
    if made.row.status == "ok":
        network, manifest = load_checkpoint(out)
        test = Samples([datasets.read(target).test])
        right = outputs(network, test, manifest.input, pick()).argmax(1).numpy() == test.labels
        accuracy = float(right.mean())
    return {
        **asdict(row),
        "accuracy": accuracy,
        "status": made.row.status,
        "reason": made.row.reason,
        "examples_seen": made.row.examples_seen,
        "seconds": round(made.row.train_seconds, 1),
        "cpu": round(time.process_time() - began, 1),
        "converged": made.row.converged,
    }


def interval(values: list[float]) -> float:
    """Half of the 95% interval of a mean by Student's t."""
    if len(values) < 2:
        return math.nan
    return float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


def show(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prints a table a set and returns its lines."""
    scores = []
    for name in SETS:
        table = Table(title=f"{name}: accuracy on the test split, mean over draws and half of its 95% interval")
        for column in ("strategy", *(f"{labels} a class" for labels in LABELS), "all", "images shown", "seconds"):
            table.add_column(column, justify="left" if column == "strategy" else "right")
        names = dict.fromkeys(row["name"] for row in done if row["set"] == name)
        for each in names:
            mine = [row for row in done if row["set"] == name and row["name"] == each]
            cells = []
            for labels in (*LABELS, 0):
                found = [row["accuracy"] for row in mine if row["labels"] == labels and row["accuracy"] is not None]
                status = [row["status"] for row in mine if row["labels"] == labels and row["accuracy"] is None]
                half = interval(found)
                cells.append(
                    (f"{statistics.mean(found):.3f}" + ("" if math.isnan(half) else f" ±{half:.3f}") if found else "")
                    + (f" ({', '.join(sorted(set(status)))})" if status else "")
                )
                scores.append({"set": name, "labels": labels, "strategy": each, "accuracies": found, "status": status})
            most = [row for row in mine if row["labels"] == LABELS[-1]]
            spent = [
                f"{statistics.mean(row[key] for row in most):,.0f}" if most else ""
                for key in ("examples_seen", "seconds")
            ]
            table.add_row(each, *cells, *spent)
        Console(width=140).print(table)
    return scores


def against_hand_set(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compares the recipe with the best hand-set rate, draw by draw, the rate chosen on the test split itself."""
    compared = []
    for name in SETS:
        for labels in LABELS:

            def scores(each: str, name: str = name, labels: int = labels) -> dict[int, float]:
                return {
                    row["seed"]: row["accuracy"]
                    for row in done
                    if row["set"] == name
                    and row["labels"] == labels
                    and row["name"] == each
                    and row["accuracy"] is not None
                }

            recipe, plain = scores("full"), {rate: scores(f"plain {rate:g}") for rate in RATES}
            plain = {rate: found for rate, found in plain.items() if found.keys() == recipe.keys() and found}
            if not plain:
                continue
            best = max(plain, key=lambda rate: statistics.mean(plain[rate].values()))
            ours, theirs = statistics.mean(recipe.values()), statistics.mean(plain[best].values())
            half = interval([recipe[seed] - plain[best][seed] for seed in recipe])
            compared.append(
                {
                    "what": f"{name}, {labels} a class: `full` by recipe, best hand-set rate {best:g}",
                    "ours": ours,
                    "peer": theirs,
                    "ratio": ours / theirs,
                    "goal": 1.0,
                    "met": ours >= theirs or ours + half >= theirs,
                    "unit": "accuracy",
                    "rounds": len(recipe),
                    "interval": half,
                }
            )
    for each in compared:
        print(f"{each['what']}: {each['ours']:.3f} against {each['peer']:.3f}, difference ±{each['interval']:.3f}")
    return compared


def scores_of(cells: list[dict[str, Any]]) -> list[Row]:
    """Returns a row for each strategy, set and number of labels with its mean accuracy."""
    return [
        result_row(
            f"{cell['set']}, {cell['labels'] or 'all'} labels a class: {cell['strategy']}",
            statistics.mean(cell["accuracies"]),
            unit="accuracy",
            rounds=len(cell["accuracies"]),
        )
        for cell in cells
        if cell["accuracies"]
    ]


def main() -> None:
    """Trains what is not trained yet, then shows all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GRAFTLINE_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark-strategies"))
    parser.add_argument("--cpu-minutes", type=float, default=90.0, help="no row is begun after so many")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="*", default=None, help="rows of these names alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.work / "rows.jsonl"
    done = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    over = {tuple(row[key] for key in ("set", "labels", "seed", "name")) for row in done}
    waiting = [
        row
        for row in rows()
        if (row.set, row.labels, row.seed, row.name) not in over and (options.only is None or row.name in options.only)
    ]
    data, work = options.data.resolve(), options.work.resolve()
    for row in {(row.set, row.labels, row.seed): row for row in waiting}.values():
        artifacts(row, data, work)
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool, Progress() as progress:
        bar = progress.add_task("rows", total=len(waiting))
        running = {}
        while waiting or running:
            spent = sum(row["cpu"] for row in done) / 60
            while waiting and len(running) < options.processes and spent < options.cpu_minutes:
                row = waiting.pop(0)
                running[pool.submit(train, row, data, work)] = row
            if not running:
                break
            finished = next(as_completed(running))
            running.pop(finished)
            done.append(finished.result())
            with kept.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
            progress.advance(bar)
    cells = show(done)
    compared = against_hand_set(done)
    print(f"{sum(row['cpu'] for row in done) / 60:.0f} CPU-minutes, {len(done)} rows, {len(waiting)} not begun")
    if options.json:
        options.json.write_text(json.dumps(compared + scores_of(cells), indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
