import pytest
import torch

from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import (
    at_resolution,
    contract_for,
    for_images,
    growth,
    native_least,
    native_statistics,
)
from graftline.models.libraries.shapes import Unfilled
from graftline.runtime.errors import RefusedError
from tests.builders.networks import build


def made(backbone: str, stored: tuple[int, int, int]) -> InputContract:
    return contract_for(backbone, stored=stored, mean=[0.2], std=[0.3])


@pytest.mark.parametrize(
    ("backbone", "stored", "taken"),
    [
        ("mobilenet_v2", (3, 224, 224), (3, 224, 224)),
        ("mobilenet_v2", (1, 28, 28), (3, 32, 32)),
        ("resnet18", (3, 16, 24), (3, 32, 48)),
        ("alexnet", (3, 32, 32), (3, 63, 63)),
        ("inception_v3", (1, 64, 64), (3, 75, 75)),
        ("inception_v3", (3, 80, 80), (3, 80, 80)),
        ("vit_b_16", (3, 28, 28), (3, 32, 32)),
        ("vit_b_32", (3, 224, 200), (3, 224, 224)),
        ("vit_h_14", (3, 32, 32), (3, 42, 42)),
        ("maxvit_t", (3, 128, 128), (3, 224, 224)),
        ("maxvit_t", (3, 230, 230), (3, 448, 448)),
        ("swin_t", (3, 64, 64), (3, 64, 64)),
        ("cnn", (1, 16, 16), (1, 16, 16)),
        ("mlp", (3, 8, 9), (3, 8, 9)),
    ],
)
def test_what_a_backbone_takes(backbone: str, stored: tuple[int, int, int], taken: tuple[int, int, int]) -> None:
    contract = made(backbone, stored)
    assert (contract.channels, contract.height, contract.width) == taken
    assert contract.stored == stored
    assert len(contract.mean) == len(contract.std) == taken[0]
    with Unfilled():
        build(backbone, 3, input=contract)


@pytest.mark.parametrize(
    ("backbone", "stored", "taken"),
    [
        ("mobilenet_v2", (3, 224, 224), (224, 224)),
        ("mobilenet_v2", (3, 32, 32), (96, 96)),
        ("resnet18", (1, 28, 56), (96, 192)),
        ("vit_b_32", (3, 32, 32), (96, 96)),
        ("vit_h_14", (3, 32, 32), (98, 98)),
        ("alexnet", (3, 96, 96), (96, 96)),
        ("maxvit_t", (3, 32, 32), (224, 224)),
    ],
)
def test_weights_of_larger_images_are_shown_larger_ones(
    backbone: str, stored: tuple[int, int, int], taken: tuple[int, int]
) -> None:
    least = native_least(backbone)
    contract = contract_for(backbone, stored=stored, mean=[0.2], std=[0.3], least=least)
    assert (contract.height, contract.width) == taken
    notes = growth(contract, least)
    assert bool(notes) == (taken != stored[1:])
    assert all(
        f"images of {stored[1]}x{stored[2]} are shown at {taken[0]}x{taken[1]}, because" in note for note in notes
    )


@pytest.mark.parametrize(
    ("backbone", "stored", "side", "taken"),
    [
        ("mobilenet_v2", (3, 64, 64), 32, (32, 32)),
        ("resnet18", (3, 20, 40), 60, (60, 120)),
        ("vit_b_16", (3, 32, 32), 112, (112, 112)),
        ("cnn", (3, 32, 32), 64, (64, 64)),
        ("mlp", (3, 32, 32), 32, (32, 32)),
    ],
)
def test_a_resolution_by_hand(backbone: str, stored: tuple[int, int, int], side: int, taken: tuple[int, int]) -> None:
    contract = at_resolution(made(backbone, stored), backbone, side)
    assert (contract.height, contract.width) == taken
    assert contract.stored == stored
    assert growth(contract, 32) == []


@pytest.mark.parametrize(
    ("backbone", "side", "why"),
    [
        ("vit_b_16", 100, "vit_b_16 takes no images of 100x100 pixels; the next size up is 112x112"),
        ("maxvit_t", 96, "the next size up is 224x224"),
        ("inception_v3", 32, "the next size up is 75x75"),
        ("mlp", 48, "48, but mlp has weights for images of 32x32 and no others"),
        ("rnn", 48, "48, but rnn has weights for images of 32x32 and no others"),
    ],
)
def test_a_resolution_that_does_not_go_through_is_refused(backbone: str, side: int, why: str) -> None:
    with pytest.raises(RefusedError, match=f"resolution: .*{why}"):
        at_resolution(made(backbone, (3, 32, 32)), backbone, side)


def test_weights_drawn_for_a_resolution_take_any() -> None:
    assert at_resolution(made("mlp", (3, 32, 32)), "mlp", 48, drawn=True).height == 48


def test_a_small_network_takes_the_channels_it_is_told() -> None:
    contract = contract_for("mlp", stored=(3, 8, 8), mean=[0.1, 0.2, 0.3], std=[0.5] * 3, channels=1)
    assert (contract.channels, contract.mean) == (1, [pytest.approx(0.2)])


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"dataset: images with 4 channels; expected 1 \(grey\) or 3 \(color\)"):
        made("resnet18", (4, 32, 32))


def test_other_images_leave_the_network_as_it_is() -> None:
    contract = for_images(made("mlp", (1, 16, 16)), (3, 28, 28))
    assert (contract.stored, contract.channels, contract.height) == ((3, 28, 28), 1, 16)


def test_too_small_images_are_refused_with_the_way_out() -> None:
    small = InputContract(stored=(3, 48, 48), channels=3, height=48, width=48, mean=[0.5] * 3, std=[0.5] * 3)
    with pytest.raises(RefusedError, match=r"inception_v3 cannot take images of 48x48 pixels .*set image_size"):
        build("inception_v3", 2, input=small)


def test_an_unknown_backbone_names_its_neighbors() -> None:
    with pytest.raises(RefusedError, match=r"'resnet19' is not known; expected mlp, cnn, rnn, timm/NAME or .*resnet1"):
        made("resnet19", (3, 32, 32))


def test_the_statistics_of_published_weights() -> None:
    assert native_statistics("resnet18") == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert native_statistics("efficientnet_v2_l") == ([0.5] * 3, [0.5] * 3)


def test_half_and_half_is_what_inception_does_inside() -> None:
    image = torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    from torchvision.models import inception_v3

    with Unfilled():
        net = inception_v3(weights=None, init_weights=False, transform_input=True)
    own_mean, own_std = (torch.tensor(v).view(3, 1, 1) for v in native_statistics("inception_v3"))
    assert torch.allclose(net._transform_input((image - mean) / std), (image - own_mean) / own_std, atol=1e-6)
