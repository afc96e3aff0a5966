import copy

import numpy as np
import pytest
import torch
from torch import nn

from graftline.config import Training
from graftline.models.inputs.preprocessing import prepare
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.training.batches.losses import squared_norm
from graftline.training.batches.samples import Samples
from graftline.training.loop.fit import fit
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import parameter_group
from graftline.training.progress import Progress
from tests.builders.networks import build
from tests.builders.training import CONTRACT, CPU, constant_schedule, contract, small_network, split, training_loop


def test_fit_reduces_the_loss_and_returns_a_learning_curve() -> None:
    train, val = Samples([split(8)]), Samples([split(4, seed=3)])
    points = fit(training_loop(small_network(), augment="shift"), train, val, 15)
    assert [point.epoch for point in points] == list(range(1, 16))
    assert points[-1].train_loss < 0.5 * points[0].train_loss
    assert points[-1].val_accuracy == 1
    assert points[-1].examples_seen == 15 * 24
    assert points[-1].learning_rate is not None
    assert points[-1].learning_rate < points[2].learning_rate  # type: ignore[operator]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd", "gd", "rmsprop"])
def test_one_batch_can_be_overfitted(optimizer: str) -> None:
    train = Samples([split(2)])
    rate = {"sgd": 0.02, "gd": 0.1}.get(optimizer, 3e-3)
    points = fit(training_loop(small_network(), lr=rate, optimizer=optimizer, weight_decay=0.0), train, None, 80)
    assert points[-1].train_loss < 0.1


def test_the_same_seed_gives_the_same_weights_another_one_does_not() -> None:
    train = Samples([split(6)])
    nets = [small_network() for _ in range(3)]
    for net, seed in zip(nets, (0, 0, 1), strict=True):
        fit(training_loop(net, seed=seed, augment="crop"), train, None, 2)
    first, again, other = (torch.cat([w.flatten() for w in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gd_sees_the_whole_split_however_it_is_cut() -> None:
    train = Samples([split(5)])
    nets = [small_network(), small_network()]
    for net, size in zip(nets, (4, 15), strict=True):
        run = training_loop(net, lr=0.1, optimizer="gd", batch_size=size, l2=0.01, weight_decay=0.0)
        run.epoch(train, constant_schedule)
        assert run.steps == 1
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_gd_takes_the_full_gradient() -> None:
    train = Samples([split(3)])
    net = small_network()
    before = copy.deepcopy(net)
    training_loop(net, lr=0.1, optimizer="gd", weight_decay=0.0, l2=0.01).epoch(train, constant_schedule)
    every = np.arange(len(train))
    loss = nn.functional.cross_entropy(before(prepare(train.images(every), CONTRACT)), train.targets(every))
    (loss + 0.01 * squared_norm(before.parameters())).backward()
    for old, new in zip(before.parameters(), net.parameters(), strict=True):
        assert old.grad is not None
        torch.testing.assert_close(new, old - 0.1 * old.grad, atol=1e-6, rtol=1e-4)


def test_l2_is_in_the_loss_over_trained_weights_alone() -> None:
    train, net = Samples([split(2)]), small_network()
    net.backbone.requires_grad_(False)
    head = squared_norm(net.head.parameters()).item()
    plain = training_loop(copy.deepcopy(net), lr=1e-9).epoch(train, constant_schedule)
    assert training_loop(net, lr=1e-9, l2=0.5).epoch(train, constant_schedule) == pytest.approx(
        plain + 0.5 * head, rel=1e-3
    )


def test_a_huge_rate_diverges_and_the_message_names_epoch_and_batch() -> None:
    with pytest.raises(DivergedError, match=r"loss \S+ in epoch 1, batch [23], expected at most 10000; set"):
        fit(training_loop(small_network(), lr=1e9, optimizer="sgd"), Samples([split(8)]), None, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_a_loss_that_is_no_number_or_too_large_stops(value: float) -> None:
    net = small_network()
    with torch.no_grad():
        net.head.get_submodule("out").bias[0] = value  # type: ignore[index]
    with pytest.raises(DivergedError, match="epoch 1, batch 1"):
        training_loop(net).epoch(Samples([split(4)]), constant_schedule)


def test_channels_last_gives_the_same_outputs_and_gradients() -> None:
    train, net = Samples([split(4)]), small_network()
    plain = copy.deepcopy(net)
    images, every = train.images(np.arange(12)), np.arange(12)
    training_loop(net)  # moves it to channels-last
    weight = net.backbone.get_submodule("conv2").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
    inputs = prepare(images, CONTRACT)
    outs = [each(x) for each, x in ((plain, inputs), (net, inputs.contiguous(memory_format=torch.channels_last)))]
    torch.testing.assert_close(outs[0], outs[1], atol=1e-5, rtol=1e-4)
    gradients = [
        torch.autograd.grad(nn.functional.cross_entropy(out, train.targets(every)), list(each.parameters()))
        for out, each in zip(outs, (plain, net), strict=True)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_batch_norm_of_single_images_is_refused() -> None:
    made = contract("shufflenet_v2_x0_5", side=32)
    net = build("shufflenet_v2_x0_5", 3, input=made)
    run = TrainingLoop(
        net, [parameter_group([net], 1e-3)], Training(batch_size=1), made, TrainingStage(0, CPU, Progress(1))
    )
    with pytest.raises(RefusedError, match="batch_size: 1 with 3 training images gives batches of one image"):
        run.epoch(Samples([split(1, side=32)]), constant_schedule)


def test_single_images_are_fine_without_batch_norm() -> None:
    assert training_loop(small_network(), batch_size=1).epoch(Samples([split(1)]), constant_schedule) > 0


def test_a_batch_may_be_larger_than_the_data() -> None:
    run = training_loop(small_network(), batch_size=500)
    run.epoch(Samples([split(2)]), constant_schedule)
    assert (run.steps, run.examples_seen) == (1, 6)
