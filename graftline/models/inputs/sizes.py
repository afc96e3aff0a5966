"""Input contracts for backbones and datasets."""

from collections.abc import Sequence
from functools import cache

from graftline.models.input_contract import InputContract
from graftline.models.libraries.library import library_of
from graftline.models.libraries.shapes import Unfilled, output_shape
from graftline.models.libraries.small_models import SMALL
from graftline.runtime.errors import RefusedError

SMALLEST = 32
"""Minimum side in pixels for torchvision's and timm's backbones, most of which halve the side five times."""
GROWN = 96
"""Minimum side in pixels for pretrained weights, because a 1x1 feature map retains too little information."""


def contract_for(
    backbone: str,
    *,
    stored: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    channels: int | None = None,
    least: int = SMALLEST,
) -> InputContract:
    """Returns the input contract for stored images and a backbone.

    torchvision's and timm's backbones take 3 channels. Their images keep the stored size unless it is too small for
    the network. Then they are upscaled to `least` pixels, to the network's minimum if that is larger (AlexNet 63,
    Inception 75), or to a square whose side is a multiple of the patch or window size (16, 32 or 14 for ViT, 224 for
    MaxViT). The small networks take images of the stored size with `channels` channels.

    Args:
        backbone: Name of a torchvision classifier, `timm/NAME`, or mlp, cnn, rnn.
        stored: Shape (C, H, W) of the stored images, with C 1 or 3.
        mean: Mean of the network's input in 0..1, one value per channel or one for all channels.
        std: Standard deviation of the network's input, in the same form as `mean`.
        channels: Number of channels of a small network, 1 or 3; by default that of the stored images.
        least: Minimum of the shorter side in pixels; `native_least` for a library's weights.

    Raises:
        RefusedError: The backbone is unknown, or the images have neither 1 nor 3 channels.
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
    """Returns a copy of a network's input contract for other stored images, with the same network input.

    Args:
        contract: The network's input contract.
        stored: Shape (C, H, W) of the stored images, with C 1 or 3.

    Raises:
        RefusedError: The images have neither 1 nor 3 channels.
    """
    _check_channels(stored[0])
    return contract.model_copy(update={"stored": stored})


def at_resolution(contract: InputContract, backbone: str, side: int, *, drawn: bool = False) -> InputContract:
    """Returns an input contract with another resolution of the network's input.

    Args:
        contract: The network's input contract.
        backbone: Name of the network's backbone.
        side: Side of the input in pixels; the shorter side if the input is not square.
        drawn: Whether the network's weights are randomly initialized for this contract and thus do not depend on
            another image size.

    Raises:
        RefusedError: The network does not support this resolution. The message states the next larger size that it
            supports.
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
    """Returns a message if stored images are upscaled because the weights were trained on larger images.

    Args:
        contract: The network's input contract.
        least: The requested minimum side in pixels. Up to `SMALLEST`, the network itself requires the upscaling and
            there is no message.
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
    """Returns the minimum side in pixels of the input for a library's pretrained weights."""
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
    """Returns the reason why a backbone does not support an image size, or an empty string."""
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
