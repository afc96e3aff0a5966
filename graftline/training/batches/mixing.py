"""Whole batches of mixed images and labels: mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from graftline.config import Training
from graftline.models.devices import sent

Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
Box = tuple[int, int, int, int]
"""Top, bottom, left, right; the second and the last are no part of it."""


def mixer(training: Training, network: nn.Module) -> Mix:
    """Returns what a training does with a batch (B, c, h, w) and its labels before it goes through the network.

    Args:
        training: Its `mixup` and `cutmix`; where both are above 0, each batch takes one of them.
        network: Its last layer says how many classes there are.

    Returns:
        A function of inputs, labels and a generator on the CPU to inputs and labels. Labels (B,) become shares (B, K)
        where anything is mixed; values and labels by themselves, (B, D), are mixed as they are. A batch of one stays.
    """
    ways = [(way, strength) for way, strength in ((_mixup, training.mixup), (_cutmix, training.cutmix)) if strength]
    if not ways:
        return lambda inputs, labels, generator: (inputs, labels)
    outputs = _outputs(network)

    def mix(inputs: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        if len(inputs) < 2:
            return inputs, labels
        shares = functional.one_hot(labels, outputs).to(inputs.dtype) if labels.dim() == 1 else labels
        # torch draws no beta distribution from a generator of one's own; one number from it seeds numpy's.
        draw = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        order = sent(torch.randperm(len(inputs), generator=generator), inputs.device)
        way, strength = ways[int(draw.integers(len(ways)))]
        return way(inputs, shares, order, float(draw.beta(strength, strength)), draw)

    return mix


def _mixup(
    inputs: Tensor, labels: Tensor, order: Tensor, share: float, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    return blended(inputs, order, share), blended(labels, order, share)


def _cutmix(
    inputs: Tensor, labels: Tensor, order: Tensor, share: float, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    box = box_of(inputs.shape[2], inputs.shape[3], share, *draw.random(2))
    top, bottom, left, right = box
    kept = 1 - (bottom - top) * (right - left) / (inputs.shape[2] * inputs.shape[3])
    return pasted(inputs, order, box), blended(labels, order, kept)


def blended(values: Tensor, order: Tensor, share: float) -> Tensor:
    """Returns share * values + (1 - share) * values[order].

    Args:
        values: (B, ...).
        order: (B,) places in the batch.
        share: 0..1.
    """
    return values.lerp(values[order], 1 - share)


def pasted(inputs: Tensor, order: Tensor, box: Box) -> Tensor:
    """Returns images (B, c, h, w) with a box of another image of the batch in each."""
    top, bottom, left, right = box
    changed = inputs.clone()
    changed[:, :, top:bottom, left:right] = inputs[order, :, top:bottom, left:right]
    return changed


def box_of(height: int, width: int, share: float, down: float, along: float) -> Box:
    """Returns the box that leaves about `share` of an image, cut off where it would stand out.

    Args:
        height: Of the image.
        width: Of the image.
        share: 0..1.
        down: Place of the box's centre, 0 at the top, 1 at the bottom.
        along: Likewise, from left to right.
    """
    side = (1 - share) ** 0.5
    edges = []
    for length, place in ((height, down), (width, along)):
        centre, half = place * length, side * length / 2
        edges += [max(0, round(centre - half)), min(length, round(centre + half))]
    return edges[0], edges[1], edges[2], edges[3]


def _outputs(network: nn.Module) -> int:
    last = [part for part in network.get_submodule("head").modules() if isinstance(part, nn.Linear | nn.Conv2d)][-1]
    return last.out_features if isinstance(last, nn.Linear) else last.out_channels
