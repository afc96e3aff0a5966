"""Which library a backbone that is not one of the articles' comes from: torchvision, or timm behind its extra."""

from typing import Protocol

from torch import nn

from graftline.models.libraries import timm_models, torchvision_models


class Library(Protocol):
    """What both modules have; see there."""

    def check_name(self, name: str) -> None:
        """Refuses a name that the library does not know."""

    def construct(self, name: str, classes: int, *, side: int | None = None, width: float = 1.0) -> nn.Module:
        """Constructs a network with random weights."""

    def squares(self, name: str, side: int) -> list[int] | None:
        """Returns sides that may do where the constructor fixes the image's size, else None."""

    def native_side(self, name: str) -> int:
        """Returns the side of the images that the weights were trained on."""

    def least_side(self, name: str) -> int:
        """Returns a side that goes through in any case."""

    def statistics(self, name: str) -> tuple[list[float], list[float]]:
        """Returns mean and std of the input that the weights were trained on."""


def library_of(backbone: str) -> Library:
    """Returns the library of a backbone by its name: `timm/NAME` is timm's, any other torchvision's."""
    return timm_models if timm_models.is_timm(backbone) else torchvision_models
