"""The contract of the backbone table: every torchvision classifier, split by one rule, without computing anything."""

from dataclasses import dataclass
from functools import cache

import pytest
import torch

from graftline.models.input_contract import InputContract
from graftline.models.layers import layers
from graftline.models.libraries import torchvision_models
from graftline.models.libraries.shapes import Unfilled, output_shape
from graftline.models.libraries.torchvision_models import construct, names, step_of
from graftline.models.network import Network
from graftline.models.transfer.keys import ours
from tests.builders.networks import build

EVERY = names()
OWN, SOURCE = 7, 11


@dataclass(frozen=True)
class Built:
    original: torch.nn.Module
    own: Network
    source: Network
    side: int


@cache
def built(name: str) -> Built:
    with Unfilled():
        step = step_of(construct(name, 2)) if {"image_size", "input_size"} & torchvision_models.knobs(name) else None
        side = 96 if step is None else -(-64 // step) * step
        contract = InputContract(
            stored=(3, side, side), channels=3, height=side, width=side, mean=[0.5] * 3, std=[0.5] * 3
        )
        return Built(
            construct(name, SOURCE, side=side),
            build(name, OWN, input=contract),
            build(name, SOURCE, input=contract, source_head=True),
            side,
        )


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def test_the_table_is_torchvisions() -> None:
    assert len(EVERY) >= 80
    assert {"resnet18", "vit_b_16", "inception_v3", "squeezenet1_1", "maxvit_t"} <= set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_a_source_head_network_has_the_originals_weights_one_to_one(name: str) -> None:
    both = built(name)
    named = ours(both.original.state_dict(), both.source)
    assert {key: tuple(value.shape) for key, value in named.items()} == shapes(both.source)


@pytest.mark.parametrize("name", EVERY)
def test_the_backbone_is_the_same_under_both_heads_and_any_number_of_classes(name: str) -> None:
    both = built(name)
    assert shapes(both.own.backbone) == shapes(both.source.backbone)


@pytest.mark.parametrize("name", EVERY)
def test_the_head_alone_gives_the_classes(name: str) -> None:
    both = built(name)
    assert list(both.own.head.state_dict()) == ["out.weight", "out.bias"]
    assert shapes(both.own.head)["out.weight"] == (OWN, both.own.feature_size)
    last = [shape for key, shape in shapes(both.source.head).items() if key.endswith("weight")][-1]
    assert last[0] == SOURCE


@pytest.mark.parametrize("name", EVERY)
def test_layers_hold_each_parameter_of_the_backbone_once(name: str) -> None:
    own = built(name).own
    held = [id(parameter) for _, layer in layers(own) for parameter in layer.parameters()]
    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in own.backbone.parameters()}
    assert len({label for label, _ in layers(own)}) == len(layers(own)) >= 5


@pytest.mark.parametrize("name", EVERY)
def test_the_source_head_takes_the_backbones_features(name: str) -> None:
    source = built(name).source
    state = {key: value.to("meta") for key, value in source.head.named_parameters()}
    features = torch.empty(2, source.feature_size, device="meta")
    logits = torch.func.functional_call(source.head.eval(), state, (features,))
    assert tuple(logits.shape) == (2, SOURCE)


@pytest.mark.parametrize(
    ("name", "own", "source"),
    [
        ("vgg16", 512, 25088),
        ("alexnet", 256, 9216),
        ("squeezenet1_1", 512, 512 * 25),
        ("resnet18", 512, 512),
        ("mobilenet_v2", 1280, 1280),
        ("convnext_tiny", 768, 768),
        ("vit_b_16", 768, 768),
        ("swin_t", 768, 768),
        ("maxvit_t", 512, 512),
        ("densenet121", 1024, 1024),
        ("googlenet", 1024, 1024),
        ("inception_v3", 2048, 2048),
    ],
)
def test_known_feature_sizes(name: str, own: int, source: int) -> None:
    assert (built(name).own.feature_size, built(name).source.feature_size) == (own, source)


def test_whole_network_gives_logits_on_meta() -> None:
    both = built("swin_t")
    assert output_shape(both.own, 3, 96, 96, name="swin_t") == (OWN,)
