import pytest
import torch
from torch import nn

from graftline.config import Training
from graftline.training.loop.optimizer import OPTIMIZERS, ParameterGroup, build_optimizer, parameter_group, set_lr


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_minimizes_a_quadratic(name: str) -> None:
    weight = nn.Parameter(torch.tensor([[3.0, -2.0]]))
    steps = build_optimizer([ParameterGroup([weight], 0.05)], Training(optimizer=name, weight_decay=0.0))
    for _ in range(200):
        steps.zero_grad()
        weight.square().sum().backward()
        steps.step()
    assert weight.square().sum().item() < 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_shrinks_weights_and_leaves_biases_and_norms(name: str) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    nn.init.ones_(network[0].bias)
    before = {key: value.clone() for key, value in network.named_parameters()}
    steps = build_optimizer([parameter_group([network], 0.01)], Training(optimizer=name, weight_decay=0.5))
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    steps.step()
    changed = {key for key, value in network.named_parameters() if not torch.equal(value, before[key])}
    assert changed == {"0.weight"}


def test_gd_has_no_momentum() -> None:
    weight = nn.Parameter(torch.tensor([[1.0]]))
    steps = build_optimizer([ParameterGroup([weight], 0.1)], Training(optimizer="gd", weight_decay=0.0, momentum=0.9))
    for expected in (0.9, 0.8):  # no momentum: the second step is as long as the first
        weight.grad = torch.tensor([[1.0]])
        steps.step()
        assert weight.item() == pytest.approx(expected)


def test_sgd_has_momentum() -> None:
    weight = nn.Parameter(torch.tensor([[1.0]]))
    steps = build_optimizer([ParameterGroup([weight], 0.1)], Training(optimizer="sgd", weight_decay=0.0, momentum=0.5))
    for expected in (0.9, 0.75):
        weight.grad = torch.tensor([[1.0]])
        steps.step()
        assert weight.item() == pytest.approx(expected)


def test_set_lr_scales_the_peak_of_each_group() -> None:
    slow, fast = nn.Linear(2, 2), nn.Linear(2, 2)
    steps = build_optimizer([parameter_group([slow], 1e-4), parameter_group([fast], 1e-3)], Training())
    set_lr(steps, 0.5)
    assert [each["lr"] for each in steps.param_groups] == pytest.approx([5e-5, 5e-5, 5e-4, 5e-4])


def test_frozen_weights_are_in_no_group() -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    assert parameter_group([layer], 0.1).weights == []
