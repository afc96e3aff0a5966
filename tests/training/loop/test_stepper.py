import copy
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graftline.config import Small, Training
from graftline.models.devices import seeded
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.training.batches.samples import Samples
from graftline.training.loop.fit import fit
from graftline.training.loop.stepper import Batch, LossTerms, Stepper
from tests.builders.networks import build
from tests.builders.training import CPU, contract, small_network, split, training_loop

EVERY = np.arange(12)


def stepper(net: Network, **training: Any) -> Stepper:
    options = Training(**{"augment": "crop", "batch_size": 12, **training})
    return Stepper(
        net, options, contract(), CPU, loss=LossTerms(penalties=[lambda batch: 0.01 * batch.features.square().mean()])
    )


@pytest.mark.slow
def test_compiled_gradients_are_those_of_plain_code() -> None:
    net = small_network()
    told, plain = gradients(copy.deepcopy(net))
    again, found = gradients(net, compile=True)
    torch.testing.assert_close(told, again, atol=1e-6, rtol=1e-5)
    for one, other in zip(plain, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    assert stepper(net, compile=True).note == "computed in compiled code"


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(RefusedError, match=r"compile: .*needs a C\+\+ compiler.*remove `compile`"):
        stepper(small_network(), compile=True)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def gradients(net: Network, **training: Any) -> tuple[Tensor, list[Tensor]]:
    told = stepper(net, **training).compute_gradients(Samples([split(4)]), EVERY, generator())
    return told, [w.grad.clone() for w in net.parameters() if w.grad is not None]


@pytest.mark.parametrize("size", [1, 5, 6, 11, 12, 50])
def test_a_batchs_gradient_is_the_sum_of_its_parts(size: int) -> None:
    net = small_network()
    told, whole = gradients(copy.deepcopy(net))
    again, parts = gradients(net, micro_batch=size)
    torch.testing.assert_close(told, again, atol=1e-6, rtol=1e-5)
    assert len(whole) == len(parts) == len(list(net.parameters()))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_gradients_add_to_those_that_are_there() -> None:
    net = small_network()
    made, train = stepper(net), Samples([split(4)])
    made.compute_gradients(train, EVERY, generator())
    once = [w.grad.clone() for w in net.parameters() if w.grad is not None]
    made.compute_gradients(train, EVERY, generator(), share=0.5)
    for first, weight in zip(once, net.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, 1.5 * first, atol=1e-7, rtol=1e-5)


class Scarce:
    """Stands before a backbone: asks the real allocator for too much when it sees too many images."""

    def __init__(self, most: int) -> None:
        self.most, self.calls = most, 0

    def __call__(self, batch: Batch) -> Tensor:
        self.calls += 1
        if len(batch.inputs) > self.most:
            batch.logits.sum().backward(retain_graph=True)  # leaves half a gradient behind
            torch.empty(2**58)
        return torch.nn.functional.cross_entropy(batch.logits, batch.labels)


def test_out_of_memory_halves_the_part_and_gives_the_same_gradient(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "graftline")
    net = build("cnn", 3, input=contract(), small=Small(widths=[8, 12]))
    train, scarce = Samples([split(4)]), Scarce(3)
    short = Stepper(net, Training(augment="crop"), contract(), CPU, loss=LossTerms(scarce))
    drawn = generator()
    told = short.compute_gradients(train, EVERY, drawn)
    found = [w.grad.clone() for w in net.parameters() if w.grad is not None]
    net.zero_grad()
    by_hand = generator()
    expected = Stepper(net, Training(augment="crop", micro_batch=3), contract(), CPU).compute_gradients(
        train, EVERY, by_hand
    )
    assert torch.equal(told, expected)
    assert torch.equal(drawn.get_state(), by_hand.get_state())
    for one, weight in zip(found, net.parameters(), strict=True):
        assert torch.equal(one, weight.grad)  # type: ignore[arg-type]
    assert short.settings()["micro_batch"] == 3
    assert [record.message for record in caplog.records if "out of memory" in record.message] == [
        f"out of memory with {now} images per forward pass; retrying with micro-batches of {half}, gradients "
        f"accumulated over each batch of 12; set `training.micro_batch: {half}` to start with this size"
        for now, half in ((12, 6), (6, 3))
    ]


def test_running_statistics_of_a_failed_attempt_are_restored() -> None:
    made = contract("shufflenet_v2_x0_5", side=32)
    with seeded(0, "test"):
        nets = [build("shufflenet_v2_x0_5", 3, input=made)]
    nets.append(copy.deepcopy(nets[0]))
    train = Samples([split(4, side=32)])
    Stepper(nets[0], Training(), made, CPU, loss=LossTerms(Scarce(3))).compute_gradients(train, EVERY, generator())
    Stepper(nets[1], Training(micro_batch=3), made, CPU).compute_gradients(train, EVERY, generator())
    for one, other in zip(*(net.buffers() for net in nets), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("backbone", "side", "tries"), [("cnn", 16, 4), ("shufflenet_v2_x0_5", 32, 3)])
def test_micro_batches_have_at_least_one_image_or_two_with_batch_norm(backbone: str, side: int, tries: int) -> None:
    made = contract(backbone, side=side)
    scarce = Scarce(0)
    net = build(backbone, 3, input=made)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        Stepper(net, Training(), made, CPU, loss=LossTerms(scarce)).compute_gradients(
            Samples([split(4, side=side)]), EVERY, generator()
        )
    assert scarce.calls == tries  # 12, 6, 3 and 1 or (3 // 2 is less than two) no more


def test_other_errors_are_not_treated_as_out_of_memory() -> None:
    def broken(batch: Batch) -> Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Stepper(small_network(), Training(), contract(), CPU, loss=LossTerms(broken)).compute_gradients(
            Samples([split(4)]), EVERY, generator()
        )


@pytest.mark.parametrize(("layout", "precision"), [("contiguous", "fp32"), ("channels_last", "bf16")])
def test_configured_layout_and_precision_are_used_and_noted(layout: str, precision: str) -> None:
    net = small_network()
    made = stepper(net, layout=layout, precision=precision)
    assert (made.settings()["layout"], made.settings()["precision"]) == (layout, precision)
    weight = net.backbone.get_submodule("conv2").weight
    assert weight.is_contiguous() is (layout == "contiguous")  # type: ignore[operator, union-attr]
    assert made.note == f"computed in {'bf16' if precision == 'bf16' else 'contiguous'}"
    assert stepper(small_network()).note == ""


def test_losses_and_penalties_see_32_bits_in_bfloat16_too() -> None:
    seen = []

    def loss(batch: Batch) -> Tensor:
        seen.extend([batch.inputs.dtype, batch.features.dtype, batch.logits.dtype])
        return batch.logits.square().mean()

    net = small_network()
    made = Stepper(net, Training(precision="bf16"), contract(), CPU, loss=LossTerms(loss))
    made.compute_gradients(Samples([split(4)]), EVERY, generator())
    assert set(seen) == {torch.float32}
    assert {w.grad.dtype for w in net.parameters() if w.grad is not None} == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_repeats_bit_by_bit_in_either_precision(precision: str) -> None:
    train, nets = Samples([split(6)]), [small_network(), small_network()]
    for net in nets:
        fit(training_loop(net, augment="crop", precision=precision), train, None, 2)
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(one, other)


def test_saved_settings_are_applied_before_the_first_step() -> None:
    net = small_network()
    made = stepper(net)
    made.apply_settings({"micro_batch": 4, "layout": "contiguous", "precision": "bf16"})
    assert made.settings() == {"micro_batch": 4, "layout": "contiguous", "precision": "bf16"}
    weight = net.backbone.get_submodule("conv2").weight
    assert weight.is_contiguous()  # type: ignore[operator, union-attr]


def test_the_average_follows_weights_whose_layout_changes() -> None:
    train, nets = Samples([split(4)]), [small_network(), small_network()]
    runs = [training_loop(net, ema=0.5) for net in nets]
    runs[1].stepper.apply_settings({"micro_batch": None, "layout": "contiguous", "precision": "fp32"})
    for run in runs:
        run.epoch(train, lambda step: 1.0)
        assert run.average is not None
        run.average.copy_to_network()
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_prefetching_does_not_change_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    train, nets = Samples([split(6)]), [small_network(), small_network()]
    losses = []
    for net, worth in zip(nets, (2**20, 1), strict=True):
        monkeypatch.setattr("graftline.training.batches.prefetch.MIN_THREADED_BYTES", worth)
        losses.append(training_loop(net, augment="crop").epoch(train, lambda step: 1.0))
    assert losses[0] == losses[1]


def test_training_continues_after_running_out_of_memory(tmp_path: Path) -> None:
    """With the process's address space limited, a batch that is too large trains in parts to the same weights."""
    program = textwrap.dedent("""
        import logging, resource, sys
        import numpy as np, torch
        torch.set_num_threads(1)
        from graftline.models.inputs.sizes import contract_for
        from tests.builders.networks import build
        from graftline.config import Small, Training
        from graftline.data.dataset import Split
        from graftline.training.batches.samples import Samples
        from graftline.training.loop.loop import TrainingLoop, TrainingStage
        from graftline.training.progress import Progress
        from graftline.training.loop.optimizer import parameter_group

        logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
        torch.manual_seed(0)
        made = contract_for("cnn", stored=(1, 64, 64), mean=[0.5], std=[0.25])
        net = build("cnn", 2, input=made, small=Small(widths=[64, 64]))
        train = Samples([Split(np.random.default_rng(0).integers(0, 255, (256, 1, 64, 64), dtype=np.uint8),
                               np.arange(256) % 2)])
        training = Training(batch_size=256, augment="none", micro_batch=int(sys.argv[1]) or None)
        loop = TrainingLoop(net, [parameter_group([net], 1e-3)], training, made,
                            TrainingStage(0, torch.device("cpu"), Progress(1)))
        if not int(sys.argv[1]):
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 450 * 2**20,) * 2)
        for _ in range(2):
            loss = loop.epoch(train, lambda step: 1.0)
        print("ended", loop.stepper.micro_batch, repr(loss), float(sum(w.double().sum() for w in net.parameters())))
    """)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}

    def run(micro_batch: int) -> list[str]:
        command = [sys.executable, "-c", program, str(micro_batch)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    *said, ended = run(0)
    assert said[0].startswith("out of memory with 256 images per forward pass; retrying with micro-batches of 128,")
    size = int(ended.split()[1])
    assert size < 256
    assert len(said) == {128: 1, 64: 2, 32: 3, 16: 4}[size]
    assert run(size) == [ended]
