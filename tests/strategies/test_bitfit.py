import pytest
import torch
from torch import nn

from graftline.config import Training
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.bitfit import BitFit, train
from graftline.strategies.methods.thawing import thaw_only
from graftline.training.interface import StrategyResult
from graftline.training.loop.freezing import train_mode
from tests.builders.networks import build
from tests.builders.training import contract, start, task

NET, SIDE = "shufflenet_v2_x0_5", 32


def trained(what: str) -> tuple[StrategyResult, dict[str, torch.Tensor]]:
    source = start(NET, side=SIDE)
    given = task(
        "bitfit",
        source,
        classes=["red", "green", "blue"],
        options=BitFit(train=what),
        training=Training(epochs=2, augment="none", batch_size=8),
    )
    return train(given), source.network.state_dict()


@pytest.mark.parametrize(("what", "ends"), [("biases", (".bias",)), ("norms", (".weight", ".bias"))])
def test_only_what_is_named_changes(what: str, ends: tuple[str, ...]) -> None:
    found, before = trained(what)
    norms = {name for name, part in found.network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    after = dict(found.network.backbone.named_parameters(prefix="backbone"))
    expected = {f"{name}{end}" for name in norms for end in ends}  # its convolutions have no biases
    assert {key for key, value in after.items() if not torch.equal(value, before[key])} == expected
    assert {key for key, value in after.items() if value.requires_grad} == expected
    head = sum(weight.numel() for weight in found.network.head.parameters())
    assert found.trained_parameters == head + sum(before[key].numel() for key in expected)
    every = sum(weight.numel() for weight in found.network.parameters())
    assert f"{found.trained_parameters} of {every} weights" in found.notes[-1]


@pytest.mark.parametrize(("what", "move"), [("biases", False), ("norms", True)])
def test_running_statistics_stand_still_with_biases_and_move_with_norms(what: str, move: bool) -> None:
    found, before = trained(what)
    after = {key: value for key, value in found.network.state_dict().items() if "running_" in key or "tracked" in key}
    assert after
    assert all(torch.equal(value, before[key]) != move for key, value in after.items())
    assert found.notes[-1].endswith("updated" if move else "fixed")


@pytest.mark.parametrize("biases", ["in_proj_bias", "bias_hh_l0"])
def test_biases_of_attention_and_of_recurrent_units_are_biases(biases: str) -> None:
    part: nn.Module = nn.MultiheadAttention(8, 2) if biases == "in_proj_bias" else nn.GRU(8, 8)
    network = Network(nn.Sequential(part), nn.Linear(8, 2), 8)
    thaw_only(network, "biases", "made")
    assert (
        {name for name, weight in part.named_parameters() if weight.requires_grad}
        == {name for name, _ in part.named_parameters() if "bias" in name}
        >= {biases}
    )


def test_a_table_of_position_biases_is_no_bias() -> None:
    made = contract("swin_t", side=32)
    network = build("swin_t", 2, input=made)
    chosen = {id(weight) for weight in thaw_only(network, "biases", "swin_t")}
    names = {name for name, weight in network.backbone.named_parameters() if id(weight) in chosen}
    assert names
    assert not {name for name in names if "table" in name or name.endswith("weight")}


@pytest.mark.parametrize(("what", "other"), [("biases", "norms"), ("norms", "biases")])
def test_a_backbone_without_them_is_refused(what: str, other: str) -> None:
    network = Network(nn.Sequential(nn.Linear(4, 4, bias=False)), nn.Linear(4, 2), 4)
    with pytest.raises(RefusedError, match=f"strategies.bitfit.train: made has no {what} to train.*`train: {other}`"):
        thaw_only(network, what, "made")


def test_a_batch_norm_whose_scale_is_frozen_is_in_eval_mode() -> None:
    network = Network(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2), 4)
    norm = network.backbone.get_submodule("1")
    norm.weight.requires_grad_(False)
    train_mode(network)
    assert not norm.training
    norm.weight.requires_grad_(True)
    train_mode(network)
    assert norm.training
