import pytest
import torch

from graftline.models.inputs.sizes import contract_for
from graftline.models.layers import layers
from graftline.models.libraries.shapes import Unfilled, output_shape
from graftline.models.structure import architecture_of, structures
from graftline.runtime.errors import RefusedError
from graftline.strategies.structure import Structure
from tests.builders.networks import build


def changed(backbone: str, side: int = 32, **architecture):
    contract = contract_for(backbone, stored=(3, side, side), mean=[0.5], std=[0.5])
    return build(backbone, 5, input=contract, architecture=architecture)


def weights(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.backbone.parameters())


@pytest.mark.parametrize(
    ("backbone", "can"),
    [
        ("mlp", ("width", "depth")),
        ("rnn", ("width", "depth")),
        ("cnn", ("width", "depth", "kernel")),
        ("mobilenet_v2", ("width", "stem")),
        ("mobilenet_v3_small", ("width", "stem")),
        ("resnet18", ("stem",)),
        ("densenet121", ("stem",)),
        ("efficientnet_b0", ("stem",)),
        ("regnet_x_400mf", ("stem",)),
        ("vgg11", ()),
        ("vit_b_16", ()),
        ("swin_t", ()),
        ("convnext_tiny", ()),
        ("maxvit_t", ()),
    ],
)
def test_what_can_change(backbone: str, can: tuple[str, ...]) -> None:
    assert structures(backbone) == can


def test_only_changes_enter_the_manifest() -> None:
    assert architecture_of(Structure()) == {}
    assert architecture_of(Structure(width=0.5, stem="small")) == {"width": 0.5, "stem": "small"}


@pytest.mark.parametrize("backbone", ["mlp", "cnn", "rnn", "mobilenet_v2", "mobilenet_v3_small"])
def test_width(backbone: str) -> None:
    assert weights(changed(backbone, width=0.5)) < 0.8 * weights(changed(backbone))


@pytest.mark.parametrize(
    ("backbone", "depth", "count"),
    [("mlp", 2, 4), ("mlp", -1, 1), ("mlp", -8, 1), ("cnn", 1, 4), ("rnn", 1, 2), ("rnn", -1, 1)],
)
def test_depth(backbone: str, depth: int, count: int) -> None:
    network = changed(backbone, depth=depth)
    assert len(layers(network)) == count
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_kernel() -> None:
    assert changed("cnn", kernel=7).backbone.conv1.kernel_size == (7, 7)


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "densenet121", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "mnasnet0_5"],
)
def test_a_small_stem_keeps_the_maps_large(backbone: str) -> None:
    def maps(network) -> int:
        seen: list[int] = []
        hooks = [
            part.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[-1]))
            for part in network.backbone.modules()
            if isinstance(part, torch.nn.Conv2d)
        ]
        assert output_shape(network, 3, 32, 32, name=backbone) == (5,)
        for hook in hooks:
            hook.remove()
        return seen[0], seen[-1]

    with Unfilled():
        first, last = maps(changed(backbone, stem="small"))
        _, before = maps(changed(backbone))
    assert first == 32
    assert last >= 2 * before


def test_a_small_stem_of_resnet_is_the_one_for_cifar() -> None:
    net = changed("resnet18", stem="small").backbone
    assert (net.conv1.kernel_size, net.conv1.stride, net.conv1.padding) == ((3, 3), (1, 1), (1, 1))
    assert isinstance(net.maxpool, torch.nn.Identity)


@pytest.mark.parametrize(
    ("backbone", "architecture", "message"),
    [
        ("resnet18", {"width": 0.5}, r"structure: resnet18 cannot change its width \(width: 0.5\); it can change stem"),
        ("vit_b_16", {"stem": "small"}, r"vit_b_16 cannot change its stem .*; it can change nothing"),
        ("mobilenet_v2", {"depth": 2}, r"mobilenet_v2 cannot change its depth .*; it can change width and stem"),
        ("rnn", {"kernel": 3}, r"rnn cannot change its kernel .*; it can change width and depth"),
        ("cnn", {"kernel": 4}, r"structure: kernel: 4 is even; expected an odd number"),
        ("cnn", {"depth": 10**9}, r"structure: depth: Input should be less than or equal to 8"),
        ("mlp", {"width": 0.0}, r"structure: width: Input should be greater than 0"),
        (
            "cnn",
            {"color": 4},
            r"structure: 'color' is no change of an architecture; expected width, depth, kernel, stem",
        ),
    ],
)
def test_what_cannot_change_is_refused(backbone: str, architecture, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        changed(backbone, 64, **architecture)
