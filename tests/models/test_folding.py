import copy

import pytest
import torch
from torch import Tensor, nn

from graftline.models.folding import folded
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import contract_for
from tests.builders.networks import build

CPU = torch.device("cpu")


def normed(name: str) -> tuple[nn.Module, InputContract]:
    """A backbone whose running statistics are not those it was made with."""
    contract = contract_for(name, stored=(3, 64, 64), mean=(0.5,), std=(0.25,))
    torch.manual_seed(0)
    backbone = build(name, 2, input=contract).backbone.eval()
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None and part.running_var is not None:
            part.running_mean.normal_(std=0.1)
            part.running_var.uniform_(0.5, 2)
    return backbone, contract


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize(
    ("name", "left"),
    [("mobilenet_v2", 0), ("resnet18", 0), ("mobilenet_v3_small", 0), ("shufflenet_v2_x1_0", 0), ("densenet121", 62)],
)
def test_a_folded_network_says_the_same(name: str, left: int) -> None:
    backbone, contract = normed(name)
    before = copy.deepcopy(backbone.state_dict())
    found = folded(backbone, contract, CPU)
    assert norms(found) == left
    images = torch.randn(3, contract.channels, contract.height, contract.width)
    with torch.no_grad():
        torch.testing.assert_close(found(images), backbone(images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_what_has_nothing_to_fold_or_cannot_be_followed_stays() -> None:
    class Odd(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) if float(images.sum()) > 0 else images

    class Halved(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            other = super().forward(images)
            return other if isinstance(images, Tensor) else 2 * other

    _, contract = normed("mobilenet_v2")
    plain = nn.Conv2d(3, 4, 3)
    assert folded(plain, contract, CPU) is plain
    for kind in (Odd, Halved):
        module = kind(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
        assert folded(module, contract, CPU) is module
