"""The small networks mlp, cnn and rnn, which map normalized images to features, without a head."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from graftline.config import Small
from graftline.models.input_contract import InputContract

WIDTHS = {"mlp": [256, 128], "cnn": [32, 64, 128], "rnn": [128]}
"""Default widths of the layers."""
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
"""Activation modules by name."""
GRID = 4
"""Maximum side of the feature maps that the cnn flattens."""


def mlp(input: InputContract, small: Small, widths: list[int]) -> tuple[nn.Module, int]:
    """Returns a network of linear layers on flattened pixels, each followed by the activation.

    Args:
        input: The network's input contract.
        small: Configuration of the small networks.
        widths: Width of each layer.

    Returns:
        The network, (B, C, H, W) -> (B, D), and D, the last width.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    units = input.channels * input.height * input.width
    for number, width in enumerate(widths, start=1):
        parts[f"dense{number}"] = _started(nn.Linear(units, width), small.activation)
        parts[f"activation{number}"] = ACTIVATIONS[small.activation]()
        units = width
    return nn.Sequential(parts), units


def cnn(input: InputContract, small: Small, widths: list[int]) -> tuple[nn.Module, int]:
    """Returns a network of blocks of convolution, activation and 2x2 pooling that ends in flattened feature maps.

    The last feature maps are pooled to at most 4x4. Blocks do not pool if a side of the maps is 3 or less, to
    preserve the spatial information of small images. The weights do not depend on the image size. The number of
    features does for sides below 32 pixels: with three blocks the maps are 4x4 from 32 pixels on, 3x3 for 28 pixels
    and 2x2 for 16 pixels.

    Args:
        input: The network's input contract.
        small: Configuration of the small networks.
        widths: Number of channels of each block.

    Returns:
        The network, (B, C, H, W) -> (B, D), and D, the last width times the number of cells of a feature map.
    """
    pool: Callable[[int], nn.Module] = nn.MaxPool2d if small.pooling == "max" else nn.AvgPool2d
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    channels, height, width = input.channels, input.height, input.width
    for number, maps in enumerate(widths, start=1):
        convolution = nn.Conv2d(channels, maps, small.kernel, padding=small.kernel // 2)
        parts[f"conv{number}"] = _started(convolution, small.activation)
        parts[f"activation{number}"] = ACTIVATIONS[small.activation]()
        if min(height, width) > 3:
            parts[f"pool{number}"] = pool(2)
            height, width = height // 2, width // 2
        channels = maps
    rows, columns = min(GRID, height), min(GRID, width)
    if (rows, columns) != (height, width):
        parts["grid"] = _to_grid(height, width, rows, columns)
    parts["flatten"] = nn.Flatten()
    return nn.Sequential(parts), channels * rows * columns


def rnn(input: InputContract, small: Small, widths: list[int]) -> tuple[nn.Module, int]:
    """Returns a network of gated recurrent units (Cho et al. 2014) over the rows of the image, from top to bottom.

    The input of a time step is one row with all its channels. The features are the hidden state of the last layer
    after the last row. A GRU has its own tanh and sigmoid, so `small.activation` has no effect.

    Args:
        input: The network's input contract.
        small: Configuration of the small networks.
        widths: Width of each layer.

    Returns:
        The network, (B, C, H, W) -> (B, D), and D, the last width.
    """
    return RowReader(input.channels * input.width, widths), widths[-1]


class RowReader(nn.Module):
    """GRU layers over the rows of an image."""

    def __init__(self, units: int, widths: list[int]) -> None:
        super().__init__()
        sizes = [units, *widths]
        for number, (below, above) in enumerate(zip(sizes, widths, strict=False), start=1):
            self.add_module(f"gru{number}", nn.GRU(below, above, batch_first=True))

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, C, H, W) to the last hidden state (B, D)."""
        sequence = images.permute(0, 2, 3, 1).flatten(2)
        for layer in self.children():
            sequence, _ = layer(sequence)
        return sequence[:, -1]


SMALL: dict[str, Callable[[InputContract, Small, list[int]], tuple[nn.Module, int]]] = {
    "mlp": mlp,
    "cnn": cnn,
    "rnn": rnn,
}


def widths_of(name: str, small: Small, *, width: float = 1.0, depth: int = 0) -> list[int]:
    """Returns the widths of the layers, from the configuration or the defaults, after the changes.

    Args:
        name: mlp, cnn or rnn.
        small: Configuration of the small networks.
        width: Factor for each width. Each layer keeps at least one unit.
        depth: Number of layers to append with the width of the last one, or to remove if negative. At least one layer
            remains.
    """
    widths = list(small.widths or WIDTHS[name])
    widths = widths + [widths[-1]] * depth if depth >= 0 else widths[: max(1, len(widths) + depth)]
    return [max(1, round(width * units)) for units in widths]


def _to_grid(height: int, width: int, rows: int, columns: int) -> nn.Module:
    # Unlike adaptive pooling, pooling with a fixed window can be exported for every size.
    stride = (height // rows, width // columns)
    return nn.AvgPool2d((height - (rows - 1) * stride[0], width - (columns - 1) * stride[1]), stride)


def _started(layer: nn.Linear | nn.Conv2d, activation: Literal["relu", "tanh", "sigmoid"]) -> nn.Module:
    # He et al. 2015 for ReLU; otherwise Glorot and Bengio 2010, with their factor of 4 for the sigmoid.
    if activation == "relu":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_normal_(layer.weight, gain=4.0 if activation == "sigmoid" else 5 / 3)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        torch.nn.init.uniform_(layer.bias, -bound, bound)
    return layer
