"""The articles' small networks: mlp, cnn, rnn. Each maps normalized images to features, without a head."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from graftline.config import Small
from graftline.models.input_contract import InputContract

WIDTHS = {"mlp": [256, 128], "cnn": [32, 64, 128], "rnn": [128]}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
GRID = 4
"""Largest side of the maps that the cnn flattens."""


def mlp(input: InputContract, small: Small, widths: list[int]) -> tuple[nn.Module, int]:
    """Dense layers on flattened pixels, the activation after each.

    Returns:
        (B, C, H, W) -> (B, D), and D, the last width.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    units = input.channels * input.height * input.width
    for number, width in enumerate(widths, start=1):
        parts[f"dense{number}"] = _started(nn.Linear(units, width), small.activation)
        parts[f"activation{number}"] = ACTIVATIONS[small.activation]()
        units = width
    return nn.Sequential(parts), units


def cnn(input: InputContract, small: Small, widths: list[int]) -> tuple[nn.Module, int]:
    """Blocks of convolution, activation and 2x2 pooling; then the maps, pooled to at most 4x4, are flattened.

    Blocks stop pooling when a side of the maps is down to 3, so that small images keep something to look at.
    Weights do not depend on the size of the image; features do below 32 pixels a side: three blocks leave a
    4x4 grid of 32 pixels and more, 3x3 of 28, 2x2 of 16.

    Returns:
        (B, C, H, W) -> (B, D), and D, the last width times the grid's cells.
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
    """The image's rows as a sequence, read from the top by gated recurrent units (Cho et al. 2014).

    A step sees one row, all its channels; the features are the last layer's state after the last row. A GRU
    brings its own tanh and sigmoid: `small.activation` says nothing here.

    Returns:
        (B, C, H, W) -> (B, D), and D, the last width.
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
        """Maps (B, C, H, W) to the last state (B, D)."""
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
    """Returns the layers' widths: as configured, or the default, then changed.

    Args:
        name: mlp, cnn or rnn.
        small: The networks' shape.
        width: Factor on each width; at least one unit is left.
        depth: Layers added at the end, as wide as the last, or below 0 removed; at least one is left.
    """
    widths = list(small.widths or WIDTHS[name])
    widths = widths + [widths[-1]] * depth if depth >= 0 else widths[: max(1, len(widths) + depth)]
    return [max(1, round(width * units)) for units in widths]


def _to_grid(height: int, width: int, rows: int, columns: int) -> nn.Module:
    # A plain pooling with the window that just fits: unlike adaptive pooling it exports for every size.
    stride = (height // rows, width // columns)
    return nn.AvgPool2d((height - (rows - 1) * stride[0], width - (columns - 1) * stride[1]), stride)


def _started(layer: nn.Linear | nn.Conv2d, activation: Literal["relu", "tanh", "sigmoid"]) -> nn.Module:
    # He et al. 2015 for ReLU; Glorot and Bengio 2010 else, with their factor of 4 for the sigmoid.
    if activation == "relu":
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_normal_(layer.weight, gain=4.0 if activation == "sigmoid" else 5 / 3)
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        torch.nn.init.uniform_(layer.bias, -bound, bound)
    return layer
