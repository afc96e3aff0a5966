import torch
from torch import nn

from graftline.models.layers import layers
from graftline.models.network import Network
from graftline.training.loop.freezing import freeze, thaw, train_mode, trained_parameters
from tests.builders.networks import build
from tests.builders.training import contract


def dropping() -> Network:
    backbone = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    return Network(backbone, nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2)), 4)


def modes(network: Network) -> list[bool]:
    return [part.training for part in network.backbone.children()]


def test_all_frozen_is_all_in_eval_mode_but_the_head() -> None:
    network = dropping()
    freeze([network.backbone])
    train_mode(network)
    assert modes(network) == [False] * 5
    assert all(part.training for part in network.head.modules())
    assert trained_parameters(network) == 10


def test_dropout_is_off_before_the_first_trained_layer_and_on_behind_it() -> None:
    network = dropping()
    freeze([network.backbone[0]])  # type: ignore[index]
    train_mode(network)
    assert modes(network) == [False, False, True, True, True]


def test_a_frozen_norm_keeps_its_statistics_between_trained_layers() -> None:
    network = dropping()
    freeze([network.backbone[3]])  # type: ignore[index]
    train_mode(network)
    assert modes(network) == [True, True, True, False, True]


def test_a_frozen_head_is_in_eval_mode() -> None:
    network = dropping()
    freeze([network.head])
    train_mode(network)
    assert not network.head.training


def test_thawed_layers_train_again() -> None:
    network = dropping()
    freeze([network])
    thaw([network.backbone])
    train_mode(network)
    assert modes(network) == [True] * 5


def test_running_statistics_of_frozen_layers_of_a_real_network_stand_still() -> None:
    made = contract("shufflenet_v2_x0_5", side=32)
    network = build("shufflenet_v2_x0_5", 3, input=made)
    every = layers(network)
    half = len(every) // 2
    freeze(module for _, module in every[:half])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    train_mode(network)
    network(torch.randn(4, 3, 32, 32))
    moved = {
        key for key, value in network.state_dict().items() if "running" in key and not torch.equal(value, before[key])
    }
    frozen = {f"{name}.{key}" for name, module in every[:half] for key in module.state_dict()}
    assert moved
    assert not {key.removeprefix("backbone.") for key in moved} & frozen
