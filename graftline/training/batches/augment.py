"""Random changes of prepared images, on the whole batch at once, on its device."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from graftline.models.devices import sent

Augment = Callable[[Tensor, Generator], Tensor]

REACH = 8
"""`shift` moves by at most 1/8 of the side."""
AREA = (0.35, 1.0)
"""Share of the image that `crop` keeps."""
RATIO = (3 / 4, 4 / 3)
"""Of width to height in `crop`, relative to the image's."""


def none(images: Tensor, generator: Generator) -> Tensor:
    """Returns the images as they are."""
    return images


def shift(images: Tensor, generator: Generator) -> Tensor:
    """Moves each image by up to 1/8 of its sides; what comes in repeats the edge.

    Args:
        images: (B, C, H, W).
        generator: On the CPU: the draw does not depend on the device.
    """
    size, _, height, width = images.shape
    rows = sent(_moved(size, height, generator), images.device)
    columns = sent(_moved(size, width, generator), images.device)
    each = torch.arange(size, device=images.device)[:, None, None]
    return images.movedim(1, 3)[each, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _moved(size: int, side: int, generator: Generator) -> Tensor:
    reach = side // REACH
    by = torch.randint(-reach, reach + 1, (size, 1), generator=generator)
    return (torch.arange(side) + by).clamp_(0, side - 1)


def flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirrors half of the images, left to right."""
    mirrored = sent(torch.rand(len(images), generator=generator), images.device) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def crop(images: Tensor, generator: Generator) -> Tensor:
    """Cuts a random box out of each image, scales it back to the image's size, mirrors half of them.

    After Szegedy et al. 2015, with at least 35% of the image kept.

    Args:
        images: (B, C, H, W) floats.
        generator: On the CPU.
    """
    area, log_ratio, x, y, mirror = torch.rand(5, len(images), generator=generator)
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    low, high = torch.tensor(RATIO).log()
    ratio = (low + (high - low) * log_ratio).exp()
    width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    # What `affine_grid` makes of boxes, in a thirtieth of its time: columns depend on x alone, rows on y alone.
    grid = images.new_empty(len(images), 2, *images.shape[2:])
    grid[:, 0] = _stretched(
        images.shape[3], torch.where(mirror < 0.5, -width, width), (2 * x - 1) * (1 - width), images.device
    )[:, None, :]
    grid[:, 1] = _stretched(images.shape[2], height, (2 * y - 1) * (1 - height), images.device)[:, :, None]
    return functional.grid_sample(images, grid.movedim(1, 3), padding_mode="border", align_corners=False)


def _stretched(side: int, by: Tensor, at: Tensor, device: torch.device) -> Tensor:
    """Returns the centres of `side` pixels in -1..1, times `by` (B,) plus `at` (B,); (B, side)."""
    centres = (2 * torch.arange(side, device=device) + 1) / side - 1
    return centres * sent(by, device)[:, None] + sent(at, device)[:, None]


AUGMENTATIONS: dict[str, Augment] = {"none": none, "shift": shift, "flip": flip, "crop": crop}
