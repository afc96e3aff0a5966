"""Libraries of backbones: torchvision, or timm with the extra `timm`."""

from typing import Protocol

from torch import nn

from graftline.models.libraries import timm_models, torchvision_models


class Library(Protocol):
    """Interface of `torchvision_models` and `timm_models`, which document the functions."""

    def check_name(self, name: str) -> None:
        """Raises an error if the library does not have a model of this name."""

    def construct(self, name: str, classes: int, *, side: int | None = None, width: float = 1.0) -> nn.Module:
        """Constructs a network with random weights."""

    def squares(self, name: str, side: int) -> list[int] | None:
        """Returns candidate sides if the constructor fixes the image size, else None."""

    def native_side(self, name: str) -> int:
        """Returns the side in pixels of the images that the weights were trained on."""

    def least_side(self, name: str) -> int:
        """Returns a side in pixels that the network always supports."""

    def statistics(self, name: str) -> tuple[list[float], list[float]]:
        """Returns mean and std, per channel in 0..1, of the input that the weights were trained on."""


def library_of(backbone: str) -> Library:
    """Returns the library of a backbone: timm for `timm/NAME`, torchvision for all other names."""
    return timm_models if timm_models.is_timm(backbone) else torchvision_models
