"""Preprocessing of batches of stored images on the device, exportable to ONNX."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.models.input_contract import InputContract

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luminance (ITU-R BT.601)."""


class Inputs(nn.Module):
    """Module without parameters that applies an input contract and can be exported together with the network.

    Images are resized by multiplication with two constant matrices, one for rows and one for columns. This equals
    bilinear interpolation with antialiasing, for which ONNX has no operator with the same results in all runtimes.
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
        """Maps uint8 images (B, C, H, W) in 0..255 to normalized float32 images (B, c, h, w).

        Raises:
            ValueError: The shape of the images differs from the contract.
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
        # Broadcasting with the scales turns gray into three channels; otherwise in place, which is twice as fast.
        values = values * self.scale if contract.stored[0] < contract.channels else values.mul_(self.scale)
        return values.add_(self.shift)


def prepare(images: Tensor, contract: InputContract) -> Tensor:
    """Returns stored images as the network's input, according to the input contract.

    Call it outside of autocast, because preprocessing requires float32.

    Args:
        images: uint8 images (B, C, H, W) in 0..255, on any device.
        contract: The network's input contract.

    Returns:
        float32 images (B, c, h, w) on the same device.
    """
    # Tracing uses fake tensors, which must not be cached.
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
        size: Number of input pixels.
        wanted: Number of output pixels.

    Returns:
        Matrix of shape (wanted, size) whose rows sum to 1. As in torch and Pillow, each row is a triangle filter
        around the center of an output pixel; its half-width is the larger of the input and output pixel sizes.
    """
    step = size / wanted
    reach = max(step, 1.0)
    centers = (np.arange(wanted) + 0.5) * step
    distance = np.abs(np.arange(size) + 0.5 - centers[:, None]) / reach
    weights = np.clip(1 - distance, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)
