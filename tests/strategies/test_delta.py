from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from graftline.config import Small, Training
from graftline.models.inputs.preprocessing import prepare
from graftline.models.layers import layers
from graftline.runtime.errors import DivergedError, RefusedError
from graftline.strategies.delta import Delta, train
from graftline.strategies.methods import channels
from graftline.strategies.methods.channels import attention, channel_weights, sample, tapped
from graftline.strategies.methods.feature_maps import compared_layers, map_distance
from graftline.strategies.weights.carry import carried
from graftline.strategies.weights.features import converged_head
from graftline.training.interface import StrategyInput
from graftline.training.loop.loop import TrainingLoop
from graftline.training.loop.stepper import Batch, Stepper
from graftline.training.recipe import head_iterations
from tests.builders.training import start, task

OTHER = ["red", "green", "blue"]
SIDES = {"cnn": 16, "rnn": 16, "shufflenet_v2_x0_5": 32, "mobilenet_v3_small": 32}


def given(
    backbone: str = "cnn",
    *,
    options: Delta | None = None,
    a_class: int = 6,
    small: Small | None = None,
    **training: Any,
) -> StrategyInput:
    source = start(backbone, side=SIDES[backbone], small=small or Small(widths=[8, 12]))
    made = Training(**{"epochs": 2, "augment": "none", "batch_size": 8, **training})
    return task("delta", source, classes=OTHER, a_class=a_class, options=options or Delta(), training=made)


def test_channels_weigh_what_the_loss_says_with_their_filters_zeroed() -> None:
    """The same by other means: a convolution's filter and bias set to 0, the authors' softmax in numpy."""
    task_ = given(a_class=3)
    found = channel_weights(task_, ["conv1", "conv2"])
    network = converged_head(task_, head_iterations(9)).start.network.eval()
    images = prepare(task_.train.images(np.arange(9)), task_.contract)
    labels = task_.train.targets(np.arange(9))
    with torch.no_grad():
        before = functional.cross_entropy(network(images), labels).item()
        for name in ("conv1", "conv2"):
            part = network.backbone.get_submodule(name)
            assert isinstance(part, nn.Conv2d)
            assert part.bias is not None
            rises = []
            for channel in range(part.out_channels):
                weight, bias = part.weight[channel].clone(), part.bias[channel].clone()
                part.weight[channel], part.bias[channel] = 0, 0
                rises.append(functional.cross_entropy(network(images), labels).item() - before)
                part.weight[channel], part.bias[channel] = weight, bias
            standard = (np.array(rises) - np.mean(rises)) / np.std(rises)
            expected = np.exp(standard / 5) / np.exp(standard / 5).sum()
            np.testing.assert_allclose(found[name].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "names", "short"),
    [
        ("shufflenet_v2_x0_5", ["stage2.1", "stage4.3"], True),
        ("mobilenet_v3_small", ["features.0", "features.4"], True),  # activations in place
        ("rnn", ["gru1", "gru2"], False),
    ],
)
def test_the_short_way_gives_what_the_long_way_gives(backbone: str, names: list[str], short: bool) -> None:
    task_ = given(backbone)
    network = converged_head(task_, head_iterations(18)).start.network.eval()
    units = {name: dict(layers(network))[name] for name in names}
    first, second = (channels.ChannelWeighing(task_, network, units) for _ in range(2))
    second.short = dict.fromkeys(names, False)
    with torch.no_grad():
        found, again = first.rises(np.arange(3)), second.rises(np.arange(3))
    if short:
        assert all(first.short.values())
    for name in names:
        torch.testing.assert_close(found[name], again[name], atol=1e-5, rtol=1e-3)
        assert found[name].abs().max() > 0


def test_channels_that_all_matter_alike_weigh_alike() -> None:
    torch.testing.assert_close(attention(torch.full((4,), 0.3)), torch.full((4,), 0.25))


def test_the_sample_takes_classes_in_turn() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2] * 20)
    places = sample(labels, 12, seed=1)
    assert len(set(places.tolist())) == 12
    assert np.bincount(labels[places]).tolist() in ([4, 3, 5], [5, 3, 4])
    assert not np.array_equal(places, sample(labels, 12, seed=2))


def test_the_weighing_costs_no_more_than_two_passes_of_training_and_16_images() -> None:
    for a_class in (2, 6, 200):
        task_ = given(a_class=a_class, small=Small(widths=[16, 16, 16, 16]))
        network = converged_head(task_, 1).start.network.eval()
        weighed = channels.ChannelWeighing(task_, network, dict(layers(network)))
        passes = 16 * (3 / 4 + 2 / 4 + 1 / 4)
        with torch.no_grad():
            images = weighed.affordable()
        assert images == min(3 * a_class, 256, max(16, round(6 * 3 * a_class / passes)))


def test_distances_are_the_authors_as_a_mean_over_images() -> None:
    source, own = start().network, start(seed=9).network
    weights = {"conv1": torch.rand(8), "conv2": torch.rand(12)}
    images = torch.randn(5, 1, 16, 16)
    with tapped(own, list(weights)) as mine, tapped(source, list(weights)) as theirs:
        features = own.backbone(images)
        found = map_distance(source, mine, theirs, weights)(Batch(images, features, features, features))
        expected = 0.0
        for name, weight in weights.items():
            a, b = (maps[name].detach().double().numpy() for maps in (mine, theirs))
            b_, c, h, w = a.shape
            norm = np.linalg.norm((a - b).reshape(b_, c, h * w), axis=2)
            expected += 0.5 * (c * weight.numpy() * norm**2 / (h * w)).sum() / b_
    assert found.item() == pytest.approx(expected, rel=1e-4)
    assert found.requires_grad


@pytest.mark.parametrize(
    ("unit", "shape", "expected"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1)), (2, 8, 4, 4), 1),
        (nn.TransformerEncoderLayer(8, 2, 8), (2, 5, 8), 2),
        (nn.Linear(8, 8), (2, 4, 4, 8), 3),  # Swin keeps images as rows, columns, channels
        (nn.Linear(8, 8), (2, 8), 1),
    ],
)
def test_where_the_channels_are(unit: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    assert channels.axis(unit, torch.empty(shape)) == expected


def test_in_half_precision_both_networks_run_in_it_and_distances_in_32_bits() -> None:
    source, own = start().network, start(seed=9).network
    images = torch.randn(5, 1, 16, 16)
    with tapped(own, ["conv2"]) as mine, tapped(source, ["conv2"]) as theirs:
        with torch.autocast("cpu", torch.bfloat16):
            features = own.backbone(images)
        found = map_distance(source, mine, theirs, {"conv2": torch.full((12,), 1 / 12)})(
            Batch(images, features, features, features)
        )
        assert mine["conv2"].dtype == theirs["conv2"].dtype == torch.bfloat16
    assert found.dtype == torch.float32


def far(task_: StrategyInput) -> float:
    """Mean squared distance of the last maps, of the trained network from the source's."""
    network, source = train(task_).network.eval(), task_.start.network
    inputs = prepare(task_.train.images(np.arange(len(task_.train))), task_.contract)
    with torch.no_grad():
        return float((network.backbone(inputs) - source.backbone(inputs)).square().mean())


def test_a_strong_pull_keeps_the_maps_near_the_sources() -> None:
    free, held = (
        far(given(options=Delta(strength=strength), epochs=10, learning_rate=3e-3)) for strength in (0.0, 100.0)
    )
    assert held < 0.1 * free


def test_parts_of_a_batch_add_up_to_the_whole() -> None:
    options = Delta(strength=1.0)
    whole, parts = (
        train(
            given(options=options, epochs=1, optimizer="sgd", learning_rate=1e-2, micro_batch=size)
        ).network.state_dict()
        for size in (None, 4)
    )
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("diverges", [False, True])
def test_no_hook_is_left(monkeypatch: pytest.MonkeyPatch, diverges: bool) -> None:
    seen: list[nn.Module] = []
    made = TrainingLoop.__init__

    def noting(self: TrainingLoop, network: Any, *rest: Any, **options: Any) -> None:
        seen.append(network)
        assert any(part._forward_hooks for part in network.modules())
        made(self, network, *rest, **options)

    monkeypatch.setattr(TrainingLoop, "__init__", noting)
    if diverges:
        monkeypatch.setattr(TrainingLoop, "epoch", _diverged)
        with pytest.raises(DivergedError):
            train(given())
    else:
        train(given())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in seen[0].modules())


def _diverged(self: TrainingLoop, *rest: Any) -> float:
    raise DivergedError("at once")


@pytest.mark.parametrize(("count", "expected"), [(2, [1, 2]), (4, [1, 2, 3, 4]), (19, [5, 10, 14, 19])])
def test_by_default_the_last_layer_of_each_quarter_is_compared(count: int, expected: list[int]) -> None:
    assert compared_layers([str(number) for number in range(1, count + 1)], None) == [str(each) for each in expected]


def test_layers_are_named() -> None:
    assert train(given(options=Delta(layers=["conv2"]))).notes[-1] == "feature maps compared after conv2"


@pytest.mark.parametrize("named", [["conv1", "conv9"], []])
def test_an_unknown_layer_is_refused_with_the_names(named: list[str]) -> None:
    with pytest.raises(RefusedError, match=r"strategies.delta.layers: (conv9|none); .* from the input: conv1, conv2"):
        train(given(options=Delta(layers=named)))


def test_the_frozen_copy_is_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    task_ = given("shufflenet_v2_x0_5", options=Delta(layers=["stage2.1"]), epochs=1)
    begun = carried(task_).network
    stepper = Stepper(begun.eval(), task_.training, task_.contract, task_.device)
    inputs = stepper.inputs(task_.train, np.arange(4), torch.Generator())
    torch.testing.assert_close(begun.backbone(inputs), task_.start.network.backbone(inputs))
    trained = train(task_)  # the copy's statistics stand still, the trained network's move
    assert not torch.equal(_statistics(trained.network), _statistics(task_.start.network))


def _statistics(network: nn.Module) -> Tensor:
    return torch.cat([value for key, value in network.state_dict().items() if key.endswith("running_mean")])
