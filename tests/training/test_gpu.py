import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from graftline.config import Head, Small, Training
from graftline.models.devices import seeded
from graftline.models.network import Network
from graftline.training.batches.samples import Samples
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.loop_state import capture_state, restore_state
from graftline.training.loop.optimizer import OPTIMIZERS, parameter_group
from graftline.training.loop.stepper import Batch
from graftline.training.progress import Progress
from graftline.training.resume.journal import JournalEntry
from graftline.training.resume.saves import TrainingState
from graftline.training.resume.states import state_files
from tests.builders.networks import build
from tests.builders.training import CONTRACT, constant_schedule, small_network, split

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_on_a_gpu_repeats_bit_by_bit(precision: str) -> None:
    weights = []
    for _ in range(2):
        net = small_network()
        run = TrainingLoop(
            net,
            [parameter_group([net], 1e-3)],
            Training(augment="crop", batch_size=8, precision=precision),
            CONTRACT,
            TrainingStage(0, torch.device("cuda"), Progress(1)),
        )
        run.epoch(Samples([split(8)]), lambda step: 1.0)
        weights.append([weight.detach().cpu() for weight in net.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_a_gpu_trains_as_a_cpu_does() -> None:
    first, ends = small_network(), []
    for name in ("cpu", "cuda"):
        net = copy.deepcopy(first)
        run = TrainingLoop(
            net,
            [parameter_group([net], 1e-3)],
            Training(augment="crop", batch_size=8),
            CONTRACT,
            TrainingStage(0, torch.device(name), Progress(1)),
        )
        ends.append(run.epoch(Samples([split(8)]), lambda step: 1.0))
    assert ends[0] == pytest.approx(ends[1], rel=1e-2)


def dropping(optimizer: str = "adamw", micro_batch: int | None = None) -> TrainingLoop:
    """A loop whose head draws from the GPU's own generator."""
    with seeded(0, "test"):
        net: Network = build("cnn", 3, input=CONTRACT, small=Small(widths=[8, 12]), head=Head(hidden=[16], dropout=0.5))
    training = Training(augment="crop", batch_size=8, micro_batch=micro_batch, optimizer=optimizer)  # type: ignore[arg-type]
    return TrainingLoop(
        net, [parameter_group([net], 1e-3)], training, CONTRACT, TrainingStage(0, torch.device("cuda", 0), Progress(1))
    )


def weights_of(run: TrainingLoop) -> list[Tensor]:
    return [weight.detach().cpu() for weight in run.network.parameters()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_goes_on_from_a_state_on_disk(optimizer: str, tmp_path: Path) -> None:
    train, whole, broken = Samples([split(8)]), dropping(optimizer), dropping(optimizer)
    with seeded(0, "training"):
        for _ in range(2):
            whole.epoch(train, constant_schedule)
    with seeded(0, "training"):
        broken.epoch(train, constant_schedule)
        entry = capture_state(broken)
        state_files.write_state(tmp_path / "state", {}, TrainingState({}, entry.tensors))
    later = dropping(optimizer)
    with seeded(1, "training"):
        restore_state(later, JournalEntry(entry.values, state_files.read_state(tmp_path / "state", {}).tensors))
        later.epoch(train, constant_schedule)
    assert all(torch.equal(one, other) for one, other in zip(weights_of(whole), weights_of(later), strict=True))


def test_a_batch_that_does_not_fit_is_trained_in_parts_with_the_same_draws() -> None:
    def short(batch: Batch) -> Tensor:
        if len(batch.inputs) > 2:
            torch.empty(2**50, device="cuda")
        return functional.cross_entropy(batch.logits, batch.labels)

    ends = []
    for micro_batch in (None, 2):
        run = dropping(micro_batch=micro_batch)
        run.stepper.criterion = short
        with seeded(0, "training"):
            run.epoch(Samples([split(8)]), constant_schedule)
        assert run.stepper.micro_batch == 2
        ends.append(weights_of(run))
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
