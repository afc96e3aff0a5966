"""From stored images to the network's first layer, on whole batches, on their device, exportable to ONNX."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.models.input_contract import InputContract

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


class Inputs(nn.Module):
    """The input contract as a module without parameters: put it before the network to export both.

    Resizing is two products with constant matrices, which are exactly what bilinear interpolation with
    antialiasing does to rows and columns; ONNX has no operator that would do the same everywhere.
    """

    scale: Tensor
    shift: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, contract: InputContract) -> None:
        super().__init__()
        channels, height, width = contract.stored
        if (channels, contract.channels) not in {(1, 1), (1, 3), (3, 1), (3, 3)}:
            raise ValueError(f"{channels} stored channels into {contract.channels}")
        self.contract = contract
        mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (contract.mean, contract.std))
        constants = {
            "scale": (1 / (255 * std)).float(),
            "shift": (-mean / std).float(),
            "rows": torch.from_numpy(interpolation(height, contract.height)),
            "columns": torch.from_numpy(interpolation(width, contract.width)).T.contiguous(),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Maps uint8 (B, C, H, W), 0..255, to normalized float32 (B, c, h, w).

        Raises:
            ValueError: Images of another shape than the contract's.
        """
        contract = self.contract
        if tuple(images.shape[1:]) != contract.stored:
            raise ValueError(f"images of {tuple(images.shape[1:])}, the input contract says {contract.stored}")
        values = images.to(torch.float32, copy=True)
        if contract.stored[0] > contract.channels:
            red, green, blue = LUMINANCE
            values = red * values[:, 0:1] + green * values[:, 1:2] + blue * values[:, 2:3]
        if contract.stored[1] != contract.height:
            values = self.rows @ values
        if contract.stored[2] != contract.width:
            values = values @ self.columns
        # Grey becomes three channels here, one times three scales; else in place, which is twice as fast.
        values = values * self.scale if contract.stored[0] < contract.channels else values.mul_(self.scale)
        return values.add_(self.shift)


def prepare(images: Tensor, contract: InputContract) -> Tensor:
    """Maps stored images to the network's input, by the contract.

    Call it outside of autocast: pixels are worth 32 bits.

    Args:
        images: uint8 (B, C, H, W), 0..255, on any device.
        contract: What they are, and what the network takes.

    Returns:
        float32 (B, c, h, w), on the images' device.
    """
    # While a graph is traced, tensors are not real: none of them may stay in the cache.
    tracing = torch.compiler.is_compiling()
    inputs = Inputs(contract) if tracing else _inputs(contract.model_dump_json(), str(images.device))
    prepared: Tensor = inputs(images)
    return prepared


@lru_cache(maxsize=32)
def _inputs(contract: str, device: str) -> Inputs:
    return Inputs(InputContract.model_validate_json(contract)).to(device)


def interpolation(size: int, wanted: int) -> NDArray[np.float32]:
    """Returns the matrix of bilinear interpolation with antialiasing along one axis.

    Args:
        size: Pixels there are.
        wanted: Pixels there shall be.

    Returns:
        (wanted, size); each row sums to 1. A triangle as wide as the larger of both pixels, around each new
        pixel's center: what torch and Pillow do.
    """
    step = size / wanted
    reach = max(step, 1.0)
    centers = (np.arange(wanted) + 0.5) * step
    distance = np.abs(np.arange(size) + 0.5 - centers[:, None]) / reach
    weights = np.clip(1 - distance, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
