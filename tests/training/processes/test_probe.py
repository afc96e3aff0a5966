import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graftline.config import Small, Training
from graftline.models.network import Network
from graftline.training.batches.samples import Samples
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.loop_state import capture_state, restore_state
from graftline.training.loop.optimizer import parameter_group
from graftline.training.processes import probe
from graftline.training.processes.probe import ComputeSetting
from graftline.training.progress import Progress
from tests.builders.networks import build
from tests.builders.training import CPU, contract, split

USUAL, PLAIN, HALF = ComputeSetting(), ComputeSetting("contiguous"), ComputeSetting(precision="bf16")
INPUTS = torch.zeros(4, 1, 16, 16)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(probe, "process_cache", {})
    monkeypatch.setattr(probe, "perf_counter", lambda: Steps.clock)


class Steps:
    """A network's real gradient, in as long as each setting is said to take."""

    clock = 0.0

    def __init__(self, net: nn.Module, seconds: dict[ComputeSetting, float], bend: float = 0.0) -> None:
        self.net, self.seconds, self.bend, self.calls = net, seconds, bend, list[ComputeSetting]()

    def __call__(self, setting: ComputeSetting) -> Tensor:
        self.calls.append(setting)
        Steps.clock += self.seconds.get(setting, 0.05)
        out: Tensor = self.net(torch.ones(4, 3) * torch.arange(4)[:, None])
        loss = out.square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        for number, weight in enumerate(self.net.parameters()):
            if self.bend and setting.precision == "bf16" and number == 3 and weight.grad is not None:
                weight.grad += (
                    self.bend
                    * weight.grad.norm()
                    * torch.nn.functional.normalize(torch.randn_like(weight.grad).flatten(), dim=0).view(weight.shape)
                )
        return loss.detach()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 2, bias=False))


def chosen(steps: Steps, *among: ComputeSetting) -> ComputeSetting:
    return probe.choose_setting(steps.net, list(steps.net.parameters()), steps, list(among), inputs=INPUTS)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({USUAL: 0.03, HALF: 0.01, PLAIN: 0.03}, HALF),
        ({USUAL: 0.03, HALF: 0.028, PLAIN: 0.028}, USUAL),
        ({USUAL: 0.01, HALF: 0.03, PLAIN: 0.03}, USUAL),
        ({USUAL: 0.03, HALF: 0.02, PLAIN: 0.01}, PLAIN),
    ],
)
def test_the_fastest_setting_is_chosen_if_it_is_clearly_faster(
    seconds: dict[ComputeSetting, float], expected: ComputeSetting
) -> None:
    assert chosen(Steps(net(), seconds), USUAL, PLAIN, HALF) == expected


def test_a_precision_whose_gradients_differ_is_not_chosen() -> None:
    fast = {USUAL: 0.02, HALF: 0.001}
    assert chosen(Steps(net(), fast, bend=3.0), USUAL, HALF) == USUAL
    probe.process_cache.clear()
    assert chosen(Steps(net(), fast), USUAL, HALF) == USUAL  # as the disk has it
    for file in probe.cache_home().rglob("*.json"):
        file.unlink()
    probe.process_cache.clear()
    assert chosen(Steps(net(), fast), USUAL, HALF) == HALF


@pytest.mark.parametrize(
    ("other", "loss", "expected"),
    [
        ([1.0, 0.0], 1.0, True),
        ([1.0, 0.4], 1.0, True),
        ([1.0, 0.6], 1.0, False),
        ([1.2, 0.0], 1.0, False),
        ([1.0, 0.0], 1.05, False),
        ([float("nan"), 0.0], 1.0, False),
        ([1.0, 0.0], float("nan"), False),
        ([0.0, 0.0], 1.0, False),
        ([-1.0, 0.0], 1.0, False),
    ],
)
def test_agreement_is_of_direction_length_and_loss(other: list[float], loss: float, expected: bool) -> None:
    one, another = ((value, list(torch.tensor(parts).split(1))) for value, parts in ((1.0, [1.0, 0.0]), (loss, other)))
    assert probe.gradients_agree(one, another) is expected


def test_probing_does_not_change_weights_statistics_or_random_state() -> None:
    made = net()
    before, drawn = copy.deepcopy(made.state_dict()), torch.get_rng_state()
    chosen(Steps(made, {}, bend=0.1), USUAL, HALF)
    assert all(torch.equal(value, before[key]) for key, value in made.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(w.grad is None for w in made.parameters())


def test_a_choice_is_cached() -> None:
    first = Steps(net(), {USUAL: 0.03, HALF: 0.01})
    assert chosen(first, USUAL, HALF) == HALF
    probe.process_cache.clear()  # as another process has it
    again = Steps(net(), {USUAL: 0.01, HALF: 0.03})
    assert chosen(again, USUAL, HALF) == HALF
    assert not again.calls
    torch.set_num_threads((threads := torch.get_num_threads()) + 1)
    try:
        assert chosen(again, USUAL, HALF) == USUAL  # other threads, another choice
    finally:
        torch.set_num_threads(threads)
    made = net()
    made[0].weight.requires_grad_(False)  # type: ignore[union-attr, operator]
    frozen = Steps(made, {USUAL: 0.01, HALF: 0.03})
    assert probe.choose_setting(made, [made[2].weight], frozen, [USUAL, HALF], inputs=INPUTS) == USUAL  # type: ignore[list-item]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', '{"key": {}, "chosen": {"layout": "rm -rf"}}'])
def test_a_damaged_file_is_searched_again(content: str) -> None:
    chosen(Steps(net(), {USUAL: 0.03, HALF: 0.01}), USUAL, HALF)
    probe.process_cache.clear()
    (file,) = probe.cache_home().rglob("*.json")
    file.write_text(content)
    assert chosen(Steps(net(), {USUAL: 0.03, HALF: 0.01}), USUAL, HALF) == HALF


def test_probing_works_without_a_writable_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAFTLINE_CACHE", str(tmp_path / "file"))
    assert chosen(Steps(net(), {USUAL: 0.03, HALF: 0.01}), USUAL, HALF) == HALF


def test_the_default_setting_is_used_if_a_probe_runs_out_of_memory() -> None:
    class Short(Steps):
        def __call__(self, setting: ComputeSetting) -> Tensor:
            if setting == HALF:
                torch.empty(2**58)
            return super().__call__(setting)

    assert chosen(Short(net(), {}), USUAL, HALF) == USUAL
    assert not list(probe.cache_home().rglob("*.json"))


def big() -> Network:
    torch.manual_seed(1)
    return build("cnn", 3, input=contract(side=40), small=Small(widths=[8, 12]))


def loop(network: Network, **training: Any) -> TrainingLoop:
    options = Training(**{"augment": "crop", "batch_size": 8, "epochs": 20, **training})
    return TrainingLoop(
        network, [parameter_group([network], 1e-3)], options, contract(side=40), TrainingStage(0, CPU, Progress(1))
    )


@pytest.mark.parametrize(
    ("side", "training", "expected"),
    [
        (40, {}, True),
        (40, {"epochs": 5}, False),
        (40, {"layout": "contiguous", "precision": "fp32"}, False),
        (16, {}, False),
    ],
)
def test_only_long_trainings_of_larger_networks_are_probed(
    monkeypatch: pytest.MonkeyPatch, side: int, training: dict[str, Any], expected: bool
) -> None:
    asked = []

    def choose(
        network: Network,
        trained: list[nn.Parameter],
        step: probe.ProbeStep,
        among: list[ComputeSetting],
        *,
        inputs: Tensor,
    ) -> ComputeSetting:
        asked.append(among)
        return among[0]

    monkeypatch.setattr(probe, "choose_setting", choose)
    made = contract(side=side)
    network = build("cnn", 3, input=made, small=Small(widths=[8, 12]))
    options = Training(**{"augment": "crop", "batch_size": 8, "epochs": 20, **training})
    run = TrainingLoop(network, [parameter_group([network], 1e-3)], options, made, TrainingStage(0, CPU, Progress(1)))
    for _ in range(2):
        run.epoch(Samples([split(14, side=side)]), lambda step: 1.0)
    assert len(asked) == expected


def test_a_training_that_probes_ends_as_one_that_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    train, nets = Samples([split(14, side=40)]), [big(), big()]
    for network, training in zip(nets, ({}, {"layout": "channels_last", "precision": "fp32"}), strict=True):
        monkeypatch.setattr(probe, "MIN_SPEEDUP", 1e9)  # whatever the times are
        torch.manual_seed(0)
        loop(network, **training).epoch(train, lambda step: 1.0)
    for one, other in zip(*(network.parameters() for network in nets), strict=True):
        assert torch.equal(one, other)


def test_a_resumed_training_uses_the_saved_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped after any step, it ends with the same bits as one that was not, although a new probe would differ."""
    train = Samples([split(14, side=40)])
    monkeypatch.setattr(probe, "choose_setting", lambda *_, **__: ComputeSetting("contiguous", "bf16"))
    whole, states = loop(big(), ema=0.9), []

    def keep() -> None:
        states.append(copy.deepcopy(capture_state(whole)))

    whole.epoch(train, lambda step: 1.0, keep)
    monkeypatch.setattr(probe, "choose_setting", lambda *_, **__: ComputeSetting())
    again = loop(big(), ema=0.9)
    restore_state(again, states[1])
    again.epoch(train, lambda step: 1.0)
    for one, other in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert again.stepper.note == "computed in bf16, contiguous"
