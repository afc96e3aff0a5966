import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from graftline.training.batches.samples import Samples
from graftline.training.loop.averaging import WeightAverage
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import freeze
from tests.builders.training import small_network, split, training_loop


@given(st.floats(-(2.0**90), 2.0**90, width=32), st.floats(0.1, 0.9999), st.integers(1, 50))
def test_the_average_of_a_constant_is_itself(value: float, decay: float, updates: int) -> None:
    net = nn.Linear(2, 1)
    nn.init.constant_(net.weight, value)
    average = WeightAverage(net, decay)
    for _ in range(updates):
        average.update()
    assert torch.equal(average.values["weight"], net.weight)


def test_the_average_follows_the_recursion_with_increasing_decay() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = WeightAverage(net, 0.5)
    expected = float(net.weight.detach())
    for step in range(1, 20):
        with torch.no_grad():
            net.weight.fill_(step)
        average.update()
        decay = min(0.5, step / (step + 9))
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(float(average.values["weight"]), expected)


def test_swapped_in_is_temporary_and_copy_to_network_permanent() -> None:
    net = nn.BatchNorm1d(3)
    average = WeightAverage(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(5)
        net.running_mean.fill_(7)  # type: ignore[union-attr, operator]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with average.swapped_in():
        assert float(net.weight[0].detach()) == 1
        assert float(net.running_mean[0]) == 0  # type: ignore[index]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    average.copy_to_network()
    assert float(net.weight[0].detach()) == 1


def test_frozen_weights_and_statistics_stay_bit_for_bit() -> None:
    net = small_network()
    frozen = next(iter(net.backbone.children()))
    freeze([net.backbone])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    fit(training_loop(net, ema=0.7), Samples([split(8)]), None, 5)
    after = net.state_dict()
    assert list(frozen.parameters())
    for key, value in before.items():
        assert torch.equal(after[key], value) == key.startswith("backbone.")


def test_the_averaged_weights_are_kept_and_validation_sees_them() -> None:
    train, val = Samples([split(8)]), Samples([split(4, seed=3)])
    net = small_network()
    run = training_loop(net, ema=0.9)
    points = fit(run, train, val, 4)
    assert run.average is not None
    assert all(
        torch.equal(value, run.average.values[key])
        for key, value in net.state_dict().items()
        if value.is_floating_point()
    )
    again = run.record(0.0, val)
    assert again.val_loss == points[-1].val_loss
    plain = small_network()
    fit(training_loop(plain), train, val, 4)
    assert any(not torch.equal(one, other) for one, other in zip(net.parameters(), plain.parameters(), strict=True))
