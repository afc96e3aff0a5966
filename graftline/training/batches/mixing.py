"""Mixing images and labels of a batch: mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from graftline.config import Training
from graftline.models.devices import sent

Mixer = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
Box = tuple[int, int, int, int]
"""Top, bottom, left, right; bottom and right are exclusive."""


def make_mixer(training: Training, network: nn.Module) -> Mixer:
    """Returns a function that mixes a batch (B, C, H, W) and its labels.

    Args:
        training: Its `mixup` and `cutmix`; if both are above 0, one of them is drawn for each batch.
        network: Its last layer defines the number of classes.

    Returns:
        A function from inputs, labels and a generator on the CPU to inputs and labels. Class labels (B,) become soft
        labels (B, K); values and multilabel targets (B, D) are mixed as they are. A batch of one image is unchanged.
    """
    methods = [(method, alpha) for method, alpha in ((_mixup, training.mixup), (_cutmix, training.cutmix)) if alpha]
    if not methods:
        return lambda inputs, labels, generator: (inputs, labels)
    num_classes = _num_outputs(network)

    def mix(inputs: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        if len(inputs) < 2:
            return inputs, labels
        shares = functional.one_hot(labels, num_classes).to(inputs.dtype) if labels.dim() == 1 else labels
        # torch cannot draw from a beta distribution with a given generator, so one number from it seeds numpy's.
        draw = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        order = sent(torch.randperm(len(inputs), generator=generator), inputs.device)
        method, alpha = methods[int(draw.integers(len(methods)))]
        return method(inputs, shares, order, float(draw.beta(alpha, alpha)), draw)

    return mix


def _mixup(
    inputs: Tensor, labels: Tensor, order: Tensor, share: float, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    return blend(inputs, order, share), blend(labels, order, share)


def _cutmix(
    inputs: Tensor, labels: Tensor, order: Tensor, share: float, draw: np.random.Generator
) -> tuple[Tensor, Tensor]:
    box = cutmix_box(inputs.shape[2], inputs.shape[3], share, *draw.random(2))
    top, bottom, left, right = box
    kept = 1 - (bottom - top) * (right - left) / (inputs.shape[2] * inputs.shape[3])
    return paste_box(inputs, order, box), blend(labels, order, kept)


def blend(values: Tensor, order: Tensor, share: float) -> Tensor:
    """Returns share * values + (1 - share) * values[order].

    Args:
        values: (B, ...).
        order: (B,) indices into the batch.
        share: 0..1.
    """
    return values.lerp(values[order], 1 - share)


def paste_box(inputs: Tensor, order: Tensor, box: Box) -> Tensor:
    """Returns images (B, C, H, W), each with the box replaced by that of another image of the batch."""
    top, bottom, left, right = box
    changed = inputs.clone()
    changed[:, :, top:bottom, left:right] = inputs[order, :, top:bottom, left:right]
    return changed


def cutmix_box(height: int, width: int, share: float, center_y: float, center_x: float) -> Box:
    """Returns a box that covers 1 - `share` of an image, clipped at the image's edges.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        share: Share of the image outside the box, 0..1.
        center_y: Center of the box, from 0 (top) to 1 (bottom).
        center_x: Center of the box, from 0 (left) to 1 (right).
    """
    side = (1 - share) ** 0.5
    edges = []
    for length, position in ((height, center_y), (width, center_x)):
        center, half = position * length, side * length / 2
        edges += [max(0, round(center - half)), min(length, round(center + half))]
    return edges[0], edges[1], edges[2], edges[3]


def _num_outputs(network: nn.Module) -> int:
    last = [part for part in network.get_submodule("head").modules() if isinstance(part, nn.Linear | nn.Conv2d)][-1]
    return last.out_features if isinstance(last, nn.Linear) else last.out_channels
