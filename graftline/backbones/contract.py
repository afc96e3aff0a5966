"""Which input contract a backbone and a dataset make together."""

from collections.abc import Sequence

from graftline.backbones import torchvision_models
from graftline.backbones.shapes import Unfilled, output_shape
from graftline.backbones.small import SMALL
from graftline.checkpoint import InputContract
from graftline.errors import RefusedError

SMALLEST = 32
"""Pixels that images grow to for torchvision's backbones: most of them halve the side five times."""


def contract_for(backbone: str, *, stored: tuple[int, int, int], mean: Sequence[float], std: Sequence[float],
                 channels: int | None = None) -> InputContract:
    """Makes the contract between stored images and a backbone.

    torchvision's backbones take 3 channels and images as they are stored, or upscaled where they are too small:
    to 32 pixels, to more where 32 do not go through (AlexNet 63, Inception 75), to a square that patches
    divide (ViT: a multiple of 16, 32 or 14; MaxViT: of 224). The small networks take images as they are, save for
    `channels`.

    Args:
        backbone: A torchvision classifier's name, or mlp, cnn, rnn.
        stored: (C, H, W) of the images, C 1 or 3.
        mean: Of the network's input, 0..1: one a channel, or one for all.
        std: Likewise.
        channels: That a small network takes, 1 or 3; by default those stored.

    Raises:
        RefusedError: No such backbone, or neither 1 nor 3 stored channels.
    """
    _, height, width = stored
    taken = channels or stored[0]
    _check_channels(stored[0])
    if backbone not in SMALL:
        torchvision_models.check_name(backbone)
        taken = 3
        height, width = _size_for(backbone, height, width)
    return InputContract(stored=stored, channels=taken, height=height, width=width,
                         mean=_per_channel(mean, taken), std=_per_channel(std, taken))


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


def native_statistics(backbone: str) -> tuple[list[float], list[float]]:
    """Returns mean and std, per channel in 0..1, of the input that torchvision's weights were trained on.

    Two architectures (GoogLeNet, Inception) turn ImageNet's statistics into 0.5 and 0.5 inside, if told to;
    here the contract says 0.5 and the network is not told.
    """
    if "transform_input" in torchvision_models.knobs(backbone):
        return [0.5] * 3, [0.5] * 3
    transforms = torchvision_models.default_weights(backbone).transforms()
    return list(transforms.mean), list(transforms.std)


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise RefusedError(f"dataset: images with {channels} channels; expected 1 (grey) or 3 (colour)")


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _size_for(backbone: str, height: int, width: int) -> tuple[int, int]:
    with Unfilled():
        net = torchvision_models.construct(backbone, 2)
    if step := torchvision_models.step_of(net):
        side = -(-max(height, width, SMALLEST) // step) * step
        return side, side
    height, width = _at_least(SMALLEST, height, width)
    try:
        output_shape(net, 3, height, width, name=backbone)
    except RefusedError:
        least = max(torchvision_models.default_weights(backbone).meta["min_size"])
        return _at_least(least, height, width)
    return height, width


def _at_least(least: int, height: int, width: int) -> tuple[int, int]:
    factor = max(1.0, least / min(height, width))
    return round(height * factor), round(width * factor)
