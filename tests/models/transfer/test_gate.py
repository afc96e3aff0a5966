import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.config import Head, Small
from graftline.models.inputs.sizes import contract_for
from graftline.models.layers import layer_keys
from graftline.models.network import Network
from graftline.models.transfer.gate import fill, transfer
from graftline.runtime.errors import RefusedError
from tests.builders.networks import build

SHUFFLE = "shufflenet_v2_x0_5"


def network(backbone: str = "cnn", classes: int = 3, head: Head = Head(), stored=(1, 16, 16)) -> Network:  # noqa: B008
    return build(
        backbone,
        classes,
        input=contract_for(backbone, stored=stored, mean=[0.1], std=[0.3]),
        head=head,
        small=Small(widths=[4, 5, 6]),
    )


def test_every_weight_is_carried_or_named() -> None:
    source, target = network(classes=7), network(classes=3, head=Head(hidden=[8]))
    before = {key: value.clone() for key, value in target.state_dict().items()}
    done = transfer(source.state_dict(), target)
    after = target.state_dict()
    assert sorted([*done.carried, *done.reinitialised]) == sorted(after)
    assert sorted([*done.carried, *done.dropped]) == sorted(source.state_dict())
    assert done.dropped == ["head.out.weight", "head.out.bias"]
    assert all(torch.equal(after[key], source.state_dict()[key]) for key in done.carried)
    assert all(torch.equal(after[key], before[key]) for key in done.reinitialised)


def test_a_head_is_not_carried_because_its_shape_fits() -> None:
    source, target = network(), network()
    assert transfer(source.state_dict(), target).reinitialised == ["head.out.weight", "head.out.bias"]
    assert not torch.equal(source.head.out.weight, target.head.out.weight)


def test_a_head_is_carried_when_asked() -> None:
    source, target = network(), network()
    done = transfer(source.state_dict(), target, head=True)
    assert (done.reinitialised, done.dropped) == ([], [])
    images = torch.randn(2, 1, 16, 16)
    assert torch.equal(source(images), target(images))


def test_carrying_copies() -> None:
    source, target = network(), network()
    transfer(source.state_dict(), target)
    with torch.no_grad():
        target.backbone.conv1.weight.zero_()
    assert source.backbone.conv1.weight.abs().sum() > 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 3))
def test_only_the_first_layers(count: int) -> None:
    source, target = network(), network()
    keys = layer_keys(target)
    wanted = [key for name in list(keys)[:count] for key in keys[name]]
    done = transfer(source.state_dict(), target, only=wanted)
    assert done.carried == wanted
    for key, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]) == (key in wanted)


def test_running_statistics_are_carried() -> None:
    source, target = network(SHUFFLE, stored=(3, 32, 32)), network(SHUFFLE, stored=(3, 32, 32))
    source.backbone.conv1[1].running_mean.fill_(5)
    assert "backbone.conv1.1.running_mean" in transfer(source.state_dict(), target).carried
    assert (target.backbone.conv1[1].running_mean == 5).all()


def test_old_files_without_counters_are_taken() -> None:
    source, target = network(SHUFFLE, stored=(3, 32, 32)), network(SHUFFLE, stored=(3, 32, 32))
    state = {key: value for key, value in source.state_dict().items() if "num_batches_tracked" not in key}
    assert "backbone.conv1.1.num_batches_tracked" in transfer(state, target).reinitialised


def test_parts_that_the_network_has_not_are_dropped_and_named() -> None:
    target = network()
    state = {**target.state_dict(), "backbone.aux.weight": torch.zeros(2)}
    assert transfer(state, target, head=True).dropped == ["backbone.aux.weight"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop("backbone.conv2.weight"),
            r"in the source \(0\): nothing; .* in the network \(1\): backbone\.conv2\.weight \(5, 4, 3, 3\)",
        ),
        (
            lambda s: s.update({"backbone.conv2.weight": torch.zeros(5, 4, 5, 5)}),
            r"\(1\): backbone\.conv2\.weight \(5, 4, 5, 5\); .*\(1\): backbone\.conv2\.weight \(5, 4, 3, 3\)",
        ),
        (
            lambda s: s.update({"backbone.conv2.extra": torch.zeros(1)}),
            r"\(1\): backbone\.conv2\.extra \(1,\); only or otherwise in the network \(0\): nothing",
        ),
        (lambda s: s.clear(), r"in the source \(0\): nothing; .* \(6\): backbone\.conv1\.weight .* and 2 more"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_sides(change, message: str) -> None:
    state = dict(network().state_dict())
    change(state)
    target = network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(RefusedError, match=message):
        transfer(state, target)
    assert all(torch.equal(before[key], value) for key, value in target.state_dict().items())


def test_a_deeper_relative_is_another_architecture() -> None:
    stored = (3, 32, 32)
    with pytest.raises(RefusedError, match=r"in the source \(\d+\): backbone\.layer1\.2\.conv1\.weight"):
        transfer(network("resnet34", stored=stored).state_dict(), network("resnet18", stored=stored))


def test_fill_wants_exactly_its_own() -> None:
    state = {key: value.clone() for key, value in network().state_dict().items()}
    target = network()
    fill(target, state)
    assert all(torch.equal(value, state[key]) for key, value in target.state_dict().items())
    state["head.out.bias"] = state["head.out.bias"].double()
    with pytest.raises(RefusedError, match="do not fit"):
        fill(target, state)
