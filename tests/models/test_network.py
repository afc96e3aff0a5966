import pytest
import torch

from graftline.config import Head
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import contract_for
from graftline.models.layers import layer_keys, layers
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.torchvision_models import construct
from graftline.models.network import Network
from graftline.models.transfer.gate import fill
from graftline.models.transfer.keys import ours
from tests.builders.networks import build


def contract(backbone: str, side: int = 64) -> InputContract:
    return contract_for(backbone, stored=(3, side, side), mean=[0.5], std=[0.5])


@pytest.mark.parametrize(
    "backbone",
    [
        "resnet18",
        "squeezenet1_1",
        "googlenet",
        "mobilenet_v3_small",
        "densenet121",
        "convnext_tiny",
        "shufflenet_v2_x0_5",
        "vit_b_32",
        "swin_t",
        "alexnet",
    ],
)
def test_split_and_joined_is_the_original(backbone: str) -> None:
    torch.manual_seed(0)
    given = contract(backbone)
    with Unfilled():
        original = construct(backbone, 5, side=given.height).eval()
        network = build(backbone, 5, input=given, source_head=True).eval()
    # Random numbers of our own: as constructed, some heads are zero and some signals vanish.
    state = {
        key: torch.empty(value.shape).normal_(0.01, 0.03) if value.is_floating_point() else value
        for key, value in original.state_dict().items()
    }
    state |= {key: value.abs() + 0.1 for key, value in state.items() if key.endswith("running_var")}
    original.load_state_dict(state, assign=True)
    fill(network, ours(state, network))
    images = torch.randn(2, 3, given.height, given.width)
    with torch.no_grad():
        expected = original(images)
        largest = expected.abs().max()
        assert 0 < largest < torch.inf
        assert torch.allclose(network(images) / largest, expected / largest, atol=1e-5)
        assert network.backbone(images).shape == (2, network.feature_size)


def test_vggs_features_do_not_depend_on_the_image_size() -> None:
    network = build("vgg11", 3, input=contract("vgg11")).eval()
    with torch.no_grad():
        assert network.backbone(torch.zeros(1, 3, 96, 64)).shape == (1, 512)


@pytest.mark.parametrize(
    ("head", "keys"),
    [
        (Head(), ["out"]),
        (Head(dropout=0.5), ["dropout", "out"]),
        (Head(hidden=[1024]), ["hidden1", "relu1", "out"]),
        (
            Head(hidden=[8, 4], dropout=0.1),
            ["dropout1", "hidden1", "relu1", "dropout2", "hidden2", "relu2", "dropout", "out"],
        ),
    ],
)
def test_heads(head: Head, keys: list[str]) -> None:
    network = build("mlp", 4, input=contract("mlp", 8), head=head)
    assert [name for name, _ in network.head.named_children()] == keys
    assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def vit() -> Network:
    return build("vit_b_32", 2, input=contract("vit_b_32"))


def test_vits_loose_parameters_belong_to_its_patches() -> None:
    network = vit()
    first = layer_keys(network)["conv_proj"]
    assert set(first) == {
        f"backbone.{key}" for key in ["class_token", "conv_proj.weight", "conv_proj.bias", "encoder.pos_embedding"]
    }


def test_a_frozen_layer_of_parts_freezes_the_networks_own_tensors() -> None:
    network = vit()
    layers(network)[0][1].requires_grad_(False)
    assert not network.backbone.class_token.requires_grad
    assert not network.backbone.conv_proj.weight.requires_grad
    assert network.backbone.encoder.layers[0].ln_1.weight.requires_grad


def test_a_norm_is_of_the_layer_before_it() -> None:
    network = build("resnet18", 2, input=contract("resnet18"))
    names = [name for name, _ in layers(network)]
    assert names == ["conv1", *(f"layer{i}.{j}" for i in range(1, 5) for j in range(2))]
    assert "backbone.bn1.running_mean" in layer_keys(network)["conv1"]
    layers(network)[0][1].eval()
    assert not network.backbone.bn1.training


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "vit_b_32", "squeezenet1_1", "cnn", "rnn"])
def test_layer_keys_are_the_backbones_state(backbone: str) -> None:
    network = build(backbone, 2, input=contract(backbone))
    keys = [key for held in layer_keys(network).values() for key in held]
    assert sorted(keys) == sorted(key for key in network.state_dict() if key.startswith("backbone."))
