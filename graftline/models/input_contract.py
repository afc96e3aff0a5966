"""The input contract between stored images and a network's input. This module does not import torch."""

from pydantic import BaseModel, ConfigDict


class InputContract(BaseModel):
    """The transform from stored images to a network's input, applied to batches on the device.

    A stored uint8 (C, H, W) image is scaled to floats in 0..1, converted to `channels` (gray is repeated, color becomes
    luminance), resized to `height` x `width` if it differs (bilinear, antialiased), then normalized: (x - mean) / std.
    """

    model_config = ConfigDict(frozen=True)

    stored: tuple[int, int, int]
    """Shape (C, H, W) of the stored images."""
    channels: int
    height: int
    width: int
    mean: list[float]
    std: list[float]
