"""Which input contract a backbone and a dataset make together."""

from collections.abc import Sequence
from functools import cache

from graftline.models.input_contract import InputContract
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import Unfilled, output_shape
from graftline.models.libraries.small_models import SMALL
from graftline.runtime.errors import RefusedError

SMALLEST = 32
"""Pixels that images grow to for torchvision's and timm's backbones: most of them halve the side five times."""
GROWN = 96
"""Pixels that images grow to for weights that were trained on larger ones, which see next to nothing in a 1x1 map."""


def contract_for(
    backbone: str,
    *,
    stored: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    channels: int | None = None,
    least: int = SMALLEST,
) -> InputContract:
    """Makes the contract between stored images and a backbone.

    torchvision's and timm's backbones take 3 channels and images as they are stored, or upscaled where they are too
    small: to `least` pixels, to more where those do not go through (AlexNet 63, Inception 75), to a square that
    patches divide (ViT: a multiple of 16, 32 or 14; MaxViT: of 224). The small networks take images as they are, save
    for `channels`.

    Args:
        backbone: A torchvision classifier's name, `timm/NAME`, or mlp, cnn, rnn.
        stored: (C, H, W) of the images, C 1 or 3.
        mean: Of the network's input, 0..1: one a channel, or one for all.
        std: Likewise.
        channels: That a small network takes, 1 or 3; by default those stored.
        least: Pixels that the shorter side has to have; `native_least` for a library's weights.

    Raises:
        RefusedError: No such backbone, or neither 1 nor 3 stored channels.
    """
    _, height, width = stored
    taken = channels or stored[0]
    _check_channels(stored[0])
    if backbone not in SMALL:
        library_of(backbone).check_name(backbone)
        taken = 3
        height, width = _size_for(backbone, height, width, least)
    return InputContract(
        stored=stored,
        channels=taken,
        height=height,
        width=width,
        mean=_per_channel(mean, taken),
        std=_per_channel(std, taken),
    )


def for_images(contract: InputContract, stored: tuple[int, int, int]) -> InputContract:
    """Returns the contract of the same network for other stored images: what it takes stays as it is.

    Args:
        contract: The network's.
        stored: (C, H, W) of the images, C 1 or 3.

    Raises:
        RefusedError: Neither 1 nor 3 stored channels.
    """
    _check_channels(stored[0])
    return contract.model_copy(update={"stored": stored})


def at_resolution(contract: InputContract, backbone: str, side: int, *, drawn: bool = False) -> InputContract:
    """Returns a contract with another resolution of the network's input.

    Args:
        contract: Of the network, and of the images as they are stored.
        backbone: The network's.
        side: Of the input in pixels; of the shorter side where images are not square and the network takes them so.
        drawn: The network's weights are drawn for this contract, so none of them depends on the old size.

    Raises:
        RefusedError: The network cannot take it; names the next side that it can.
    """
    if min(contract.height, contract.width) == side:
        return contract
    if backbone in SMALL:
        if backbone != "cnn" and not drawn:
            raise RefusedError(
                f"resolution: {side}, but {backbone} has weights for images of {contract.height}x"
                f"{contract.width} and no others; leave it out, or set image_size before pretraining"
            )
        height, width = _scaled(contract.stored, side)
    else:
        height, width = _size_for(backbone, *_scaled(contract.stored, side), least=1)
        if min(height, width) != side:
            raise RefusedError(
                f"resolution: {backbone} takes no images of {side}x{side} pixels; the next size up is {height}x{width}"
            )
    return contract.model_copy(update={"height": height, "width": width})


def growth(contract: InputContract, least: int) -> list[str]:
    """Returns a note where images are shown larger than they are stored, because weights of larger ones ask for it.

    Args:
        contract: Which may show images larger.
        least: The side that was asked for; `SMALLEST` grows images for the network's sake and needs no note.
    """
    _, height, width = contract.stored
    if least <= SMALLEST or contract.height * contract.width <= height * width:
        return []
    return [
        f"images of {height}x{width} are shown at {contract.height}x{contract.width}, because the weights were "
        "made on larger ones; `resolution` sets another side"
    ]


def native_statistics(backbone: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that a library's weights were trained on."""
    return library_of(backbone).statistics(backbone)


def native_least(backbone: str) -> int:
    """Returns the side in pixels that images grow to under a library's weights."""
    return min(GROWN, library_of(backbone).native_side(backbone))


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise RefusedError(f"dataset: images with {channels} channels; expected 1 (grey) or 3 (color)")


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _size_for(backbone: str, height: int, width: int, least: int) -> tuple[int, int]:
    library = library_of(backbone)
    if squares := library.squares(backbone, max(height, width, least)):
        side = next((side for side in squares[:-1] if not _fault(backbone, side, side)), squares[-1])
        return side, side
    height, width = _at_least(least, height, width)
    return (
        (height, width)
        if not _fault(backbone, height, width)
        else _at_least(library.least_side(backbone), height, width)
    )


@cache
def _fault(backbone: str, height: int, width: int) -> str:
    """Why a backbone cannot take images of a size, or nothing."""
    try:
        with Unfilled():
            net = library_of(backbone).construct(backbone, 2, side=height)
        output_shape(net, 3, height, width, name=backbone)
    except (RefusedError, AssertionError, ValueError, RuntimeError, ZeroDivisionError) as error:
        return str(error)
    return ""


def _scaled(stored: tuple[int, int, int], side: int) -> tuple[int, int]:
    factor = side / min(stored[1:])
    return round(stored[1] * factor), round(stored[2] * factor)


def _at_least(least: int, height: int, width: int) -> tuple[int, int]:
    factor = max(1.0, least / min(height, width))
    return round(height * factor), round(width * factor)
