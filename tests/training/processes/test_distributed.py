import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from graftline.config import Head, Training
from graftline.strategies import STRATEGIES
from graftline.training.batches.samples import Samples
from graftline.training.interface import StrategyResult
from graftline.training.loop.fit import fit
from graftline.training.loop.stepper import Batch
from graftline.training.processes import distributed, ranks
from graftline.training.resume import states
from graftline.training.resume.journal import Journal
from graftline.training.resume.saves import TrainingState
from tests.builders.training import small_network, split, start, task, training_loop

PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, "ROOT")
import torch
torch.set_num_threads(1)
from graftline.training.processes import distributed
from tests.training.processes import test_distributed
with distributed.process_group():
    test_distributed.FUNCTION(Path(sys.argv[1]))
""".replace("ROOT", str(Path(__file__).parents[3]))

BREAKS = 4
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts": {"micro_batch": 2},
    "penalty": {"l2": 0.01},
    "gd": {"optimizer": "gd"},
    "mixed": {"mixup": 0.2, "ema": 0.5},
    "short of memory": {},
}


def trained(way: str) -> dict[str, Tensor]:
    """Two epochs in batches of 8, 8 and 7 images: shares are uneven."""
    torch.manual_seed(0)
    net, every = small_network(), Samples([split(8)])
    run = training_loop(net, lr=1e-2, **{"augment": "crop", "optimizer": "sgd", **WAYS[way]})
    if way == "short of memory" and not ranks.is_main_process():
        run.stepper.criterion = _short
    points = fit(run, every.subset(every.indices[:23]), Samples([split(2, seed=3)]), 2)
    numbers = {
        "loss": torch.tensor([point.train_loss for point in points]),
        "batches": run.generator.get_state(),
        "drawn": torch.get_rng_state(),
        "micro_batch": torch.tensor(run.stepper.micro_batch or 0),
    }
    return {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in (net.state_dict() | numbers).items()
    }


def _short(batch: Batch) -> Tensor:
    if len(batch.inputs) > 2:
        torch.empty(2**58)
    return functional.cross_entropy(batch.logits, batch.labels)


def every_way(folder: Path) -> None:
    for way in WAYS:
        save_file(trained(way), folder / f"{way}.{ranks.is_main_process()}.safetensors")


class KilledError(Exception):
    """Stands in for a kill where a real one would take too long; test_launch.py has real ones."""


class CrashingStore:
    """A place for states on disk; those who train die together when so many are kept."""

    def __init__(self, folder: Path, lives: int | None = None) -> None:
        self.lives, self.kept = lives, 0
        self.saves = distributed.shared_store(lambda: states.open_directory(str(folder), {"training": "one"}))

    def newest(self) -> TrainingState | None:
        return self.saves.newest()

    def write(self, state: TrainingState) -> None:
        self.saves.write(state)
        self.kept += 1
        if self.kept == self.lives:
            raise KilledError

    def close(self) -> None:
        self.saves.close()


def staged(saves: CrashingStore) -> StrategyResult:
    training = Training(epochs=3, augment="shift", batch_size=5, mixup=0.2, ema=0.9, patience=2)
    journal = Journal(saves, save_interval=0.0)
    try:
        return STRATEGIES["staged"].train(
            task(
                "staged",
                start("cnn", head=Head(hidden=[16], dropout=0.2)),
                classes=["red", "two", "blue"],
                training=training,
                journal=journal,
            )
        )
    finally:
        journal.close()


def every_break(folder: Path) -> None:
    """Says of an unbroken training and of broken ones what each process came to."""
    whole = CrashingStore(folder / "states" / "whole")
    came_to(folder, 0, staged(whole), whole)
    for lives in random.Random(0).sample(range(1, whole.kept), BREAKS):
        with pytest.raises(KilledError):
            staged(CrashingStore(folder / "states" / str(lives), lives))
        again = CrashingStore(folder / "states" / str(lives))
        came_to(folder, lives, staged(again), again)


def came_to(folder: Path, lives: int, made: StrategyResult, saves: CrashingStore) -> None:
    curve = [point.model_dump(exclude={"seconds"}) for point in made.history]
    told = {"kept": lives + saves.kept, "shown": made.examples_seen, "curve": curve}
    (folder / f"after-{lives}.{ranks.is_main_process()}.json").write_text(json.dumps(told))
    save_file(
        {key: value.contiguous() for key, value in made.network.state_dict().items()},
        folder / f"after-{lives}.{ranks.is_main_process()}.safetensors",
    )


def fetching(folder: Path) -> None:
    with distributed.shared_download_folder() as shared:
        if not (shared / "weights").exists():
            (shared / "weights").write_text(f"fetched by {ranks.is_main_process()}")
        (folder / f"fetched.{ranks.is_main_process()}").write_text((shared / "weights").read_text())
    assert not (ranks.is_main_process() and shared.exists())


def everything(folder: Path) -> None:
    for function in (every_way, every_break, fetching):
        function(folder)


def broken(folder: Path) -> None:
    assert ranks.is_main_process(), "this one is broken"
    every_way(folder)


def started(function: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a function of this module in two processes of gloo."""
    program = PROGRAM.replace("FUNCTION", function)
    env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "--no-python",
        sys.executable,
        "-c",
        program,
        str(folder),
    ]
    return subprocess.run(
        command, text=True, capture_output=True, env=env | {"OMP_NUM_THREADS": "1"}, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes came to, each way and after each break in a file a process."""
    folder = tmp_path_factory.mktemp("ends")
    done = started("everything", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_give_the_weights_of_one(way: str, ends: Path) -> None:
    first, other = (load_file(ends / f"{way}.{name}.safetensors") for name in (True, False))
    for key, value in trained(way).items():
        assert torch.equal(first[key], other[key]), key
        if key not in ("drawn", "micro_batch"):  # an own draw of dropout's is one number each batch
            torch.testing.assert_close(first[key], value, atol=2e-6, rtol=1e-4)
    assert int(first["micro_batch"]) == (2 if way in ("parts", "short of memory") else 0)


def test_two_processes_resume_to_the_same_weights_from_any_state(ends: Path) -> None:
    weights = {path.name: load_file(path) for path in ends.glob("after-*.safetensors")}
    told = {path.name: json.loads(path.read_text()) for path in ends.glob("after-*.json")}
    assert len(weights) == len(told) == 2 * (1 + BREAKS)
    unbroken = weights["after-0.True.safetensors"]
    for name, found in weights.items():
        assert all(torch.equal(value, unbroken[key]) for key, value in found.items()), name
    for name, facts in told.items():  # states before and after the break add up: it did not begin again
        assert facts == told["after-0.True.json"], name


def test_only_the_main_process_downloads(ends: Path) -> None:
    assert [(ends / f"fetched.{name}").read_text() for name in (True, False)] == ["fetched by True"] * 2


@pytest.mark.parametrize(
    ("images", "many", "bounds"),
    [
        (8, 2, [(0, 4, 0.5), (4, 8, 0.5)]),
        (7, 2, [(0, 3, 3 / 7), (3, 7, 4 / 7)]),
        (3, 2, [(0, 3, 0.5), (0, 3, 0.5)]),
        (9, 4, [(0, 2, 2 / 9), (2, 4, 2 / 9), (4, 6, 2 / 9), (6, 9, 3 / 9)]),
    ],
)
def test_shares_cover_a_batch_and_their_weights_sum_to_one(
    images: int, many: int, bounds: list[tuple[int, int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: many)
    found = []
    for rank in range(many):
        monkeypatch.setattr(distributed.dist, "get_rank", lambda rank=rank: rank)
        found.append(distributed.batch_share(images))
    assert found == bounds
    assert sum(weight for _, _, weight in found) == pytest.approx(1)


@pytest.mark.slow
def test_a_failure_in_one_process_ends_all(tmp_path: Path) -> None:
    done = started("broken", tmp_path)
    assert done.returncode != 0
    assert "this one is broken" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_single_process_has_no_process_group(monkeypatch: pytest.MonkeyPatch) -> None:
    with distributed.process_group():
        assert distributed.world_size() == 1
        assert distributed.broadcast("mine") == "mine"
        assert distributed.batch_share(5) == (0, 5, 1.0)
    assert ranks.is_main_process()
    assert (distributed.num_processes(None), distributed.num_processes(3)) == (max(1, torch.cuda.device_count()), 3)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.num_processes(3) == 1


def test_only_the_main_process_writes_files_and_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, there in ((0, True), (1, False)):
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", str(rank))
        with ranks.main_process_output(tmp_path / str(rank)) as out:
            out.mkdir()
            print(f"said by {rank}")
        assert (tmp_path / str(rank)).exists() is there
    assert capsys.readouterr().out == "said by 0\n"


@pytest.mark.parametrize("many", [2, 3])
@pytest.mark.parametrize("at_once", [None, 1, 2, 3, 5])
def test_processes_with_synchronized_batch_norm_have_equal_numbers_of_micro_batches(
    many: int, at_once: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.SyncBatchNorm(2))
    monkeypatch.setattr(distributed, "world_size", lambda: many)
    for images in range(1, 30):
        found = []
        for rank in range(many):
            monkeypatch.setattr(distributed.dist, "get_rank", lambda rank=rank: rank)
            found.append(distributed.share_bounds(images, at_once, net))
            first, end, _ = distributed.batch_share(images)
            assert [place for low, high in found[-1] for place in range(low, high)] == list(range(end - first))
            assert all(low < high <= low + max(2, at_once or images) for low, high in found[-1])
        assert len({len(parts) for parts in found}) == 1


def test_synchronized_batch_norm_keeps_names_weights_and_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).eval()
    before, seen = net.state_dict(keep_vars=True), []
    handle = net[1].register_forward_hook(lambda *_: seen.append(1))
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    distributed.convert_batch_norm(net, torch.device("cuda"))
    assert type(net[1]) is nn.SyncBatchNorm
    assert not distributed.has_sync_batch_norm(net)
    after = net.state_dict(keep_vars=True)
    assert {key: id(value) for key, value in after.items()} == {key: id(value) for key, value in before.items()}
    net(torch.zeros(1, 1, 2, 2))
    handle.remove()
    net(torch.zeros(1, 1, 2, 2))
    assert seen == [1]
    assert distributed.has_sync_batch_norm(net.train())
