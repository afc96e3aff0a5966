"""Changes to an architecture for the strategy `structure`: width, depth, kernel and stem."""

from functools import cache
from typing import Any

from pydantic import ValidationError
from torch import nn

from graftline.config import ArchitectureOptions
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import Unfilled
from graftline.models.libraries.small_models import SMALL
from graftline.models.spec import Architecture
from graftline.runtime.errors import RefusedError

KEPT: dict[str, Any] = {"width": 1.0, "depth": 0, "kernel": None, "stem": "keep"}
"""Values of the options that leave the architecture unchanged."""


def architecture_of(options: ArchitectureOptions) -> Architecture:
    """Returns the options that change the architecture, as stored in `NetworkSpec`; empty without a change."""
    return {key: value for key, kept in KEPT.items() if (value := getattr(options, key)) != kept}


@cache
def structures(backbone: str) -> tuple[str, ...]:
    """Returns which of width, depth, kernel and stem can be changed for a backbone.

    The network is constructed to find out. The width of a torchvision backbone can be changed if its builder accepts
    `width_mult` and the number of weights depends on it. The stem can be changed if the first convolution has
    overlapping windows and a stride above 1.
    """
    if backbone in SMALL:
        return ("width", "depth", "kernel") if backbone == "cnn" else ("width", "depth")
    return tuple(name for name, can in {"width": _has_width(backbone), "stem": _has_stem(backbone)}.items() if can)


def check(backbone: str, architecture: Architecture) -> None:
    """Raises an error if a backbone does not support a change of its architecture.

    Args:
        backbone: Name of the backbone.
        architecture: The changes.

    Raises:
        RefusedError: A change is unknown, not supported or out of range. The message states the change and the
            alternatives.
    """
    can = structures(backbone) if architecture else ()
    for key, value in architecture.items():
        if key not in KEPT:
            raise RefusedError(f"structure: {key!r} is no change of an architecture; expected {', '.join(KEPT)}")
        if key not in can and value != KEPT[key]:
            allowed = f"it can change {' and '.join(can)}" if can else "it can change nothing"
            raise RefusedError(f"structure: {backbone} cannot change its {key} ({key}: {value}); {allowed}")
    try:
        ArchitectureOptions.model_validate(architecture)
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedError(
            f"structure: {'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
        ) from None


def shrink_stem(net: nn.Module) -> None:
    """Replaces the first convolution by a 3x3 convolution with stride 1 and removes max pooling before the next one.

    The network is modified in place. This avoids early downsampling of images of about 32 pixels, as in He et al.
    2016 for CIFAR-10.
    """
    convolutions = [(name, part) for name, part in net.named_modules() if isinstance(part, nn.Conv2d)]
    name, first = convolutions[0]
    _replace(net, name, nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None))
    behind = False
    for name, part in list(net.named_modules()):
        if isinstance(part, nn.Conv2d) and behind:
            return
        behind = behind or isinstance(part, nn.Conv2d)
        if isinstance(part, nn.MaxPool2d):
            return _replace(net, name, nn.Identity())


def _replace(net: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, key = name.rpartition(".")
    setattr(net.get_submodule(parent), key, part)


def _has_stem(backbone: str) -> bool:
    with Unfilled():
        net = library_of(backbone).construct(backbone, 2)
    first = next((part for part in net.modules() if isinstance(part, nn.Conv2d)), None)
    # With stride 1 there is nothing to change, a kernel no larger than its stride extracts patches, and an image size
    # fixed by the constructor (MaxViT) does not allow another stride.
    return (
        first is not None
        and library_of(backbone).squares(backbone, 1) is None
        and 1 < first.stride[0] < first.kernel_size[0]
    )


def _has_width(backbone: str) -> bool:
    def sizes(width: float) -> list[int]:
        with Unfilled():
            return [weight.numel() for weight in library_of(backbone).construct(backbone, 2, width=width).parameters()]

    try:
        return sizes(0.5) != sizes(1.0)
    except TypeError:  # the argument is unknown or is set by the builder itself
        return False
