import pytest
import torch
import torch.nn.functional as F

from graftline.config import Small
from graftline.models.inputs.sizes import contract_for
from graftline.models.layers import layers
from tests.builders.networks import build


def network(backbone: str, stored=(1, 28, 28), small: Small = Small()):  # noqa: B008
    return build(backbone, 10, input=contract_for(backbone, stored=stored, mean=[0.1], std=[0.3]), small=small)


@pytest.mark.parametrize(
    ("backbone", "stored", "features"),
    [
        ("mlp", (1, 28, 28), 128),
        ("mlp", (3, 5, 7), 128),
        ("rnn", (3, 20, 30), 128),
        ("cnn", (1, 28, 28), 128 * 9),
        ("cnn", (1, 16, 16), 128 * 4),
        ("cnn", (3, 32, 32), 128 * 16),
        ("cnn", (3, 100, 61), 128 * 16),
        ("cnn", (1, 8, 8), 128 * 4),
        ("cnn", (1, 2, 3), 128 * 6),
    ],
)
def test_features(backbone: str, stored: tuple[int, int, int], features: int) -> None:
    net = network(backbone, stored)
    assert net.feature_size == features
    assert net.backbone(torch.randn(2, *stored)).shape == (2, features)
    assert net(torch.randn(2, *stored)).shape == (2, 10)


@pytest.mark.parametrize(
    ("backbone", "names"),
    [("mlp", ["dense1", "dense2", "dense3"]), ("cnn", ["conv1", "conv2", "conv3"]), ("rnn", ["gru1", "gru2", "gru3"])],
)
def test_layers_are_named_and_as_wide_as_configured(backbone: str, names: list[str]) -> None:
    found = layers(network(backbone, small=Small(widths=[6, 5, 4])))
    assert [name for name, _ in found] == names
    assert [
        getattr(layer, "out_features", getattr(layer, "out_channels", getattr(layer, "hidden_size", 0)))
        for _, layer in found
    ] == [6, 5, 4]


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", torch.relu), ("tanh", torch.tanh), ("sigmoid", torch.sigmoid)]
)
def test_mlp_is_its_formula(activation, function) -> None:
    net = network("mlp", (1, 4, 4), Small(widths=[3], activation=activation))
    dense = net.backbone.dense1
    images = torch.randn(5, 1, 4, 4)
    assert torch.allclose(net.backbone(images), function(images.flatten(1) @ dense.weight.T + dense.bias), atol=1e-6)


@pytest.mark.parametrize(("pooling", "function"), [("max", F.max_pool2d), ("average", F.avg_pool2d)])
def test_cnn_is_its_formula(pooling, function) -> None:
    net = network("cnn", (3, 8, 8), Small(widths=[4], pooling=pooling, kernel=5, activation="tanh"))
    layer = net.backbone.conv1
    images = torch.randn(2, 3, 8, 8)
    expected = function(torch.tanh(F.conv2d(images, layer.weight, layer.bias, padding=2)), 2).flatten(1)
    assert torch.allclose(net.backbone(images), expected, atol=1e-6)


def test_rnn_reads_the_rows_from_the_top() -> None:
    net = network("rnn", (3, 4, 6), Small(widths=[5]))
    images = torch.randn(2, 3, 4, 6)
    _, last = net.backbone.gru1(images.permute(0, 2, 3, 1).reshape(2, 4, 18))
    assert torch.allclose(net.backbone(images), last[0], atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_signals_pass_through_at_the_start(activation) -> None:
    torch.manual_seed(0)
    net = network("cnn", small=Small(activation=activation))
    features = net.backbone(torch.randn(64, 1, 28, 28))
    assert features.std(dim=0).mean() > 0.01


@pytest.mark.parametrize("backbone", ["mlp", "cnn", "rnn"])
def test_it_learns(backbone: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(64, 1, 12, 12)
    labels = torch.arange(64) % 2
    images[labels == 1, :, :6] += 1
    net = network(backbone, (1, 12, 12), Small(widths=[16, 16]))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    assert (net(images).argmax(1) == labels).float().mean() > 0.95
