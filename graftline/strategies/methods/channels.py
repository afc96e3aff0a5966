"""Feature maps of a backbone's layers and the importance of their channels for the target (DELTA, Li et al. 2019)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from graftline.models.devices import as_input
from graftline.models.inputs.preprocessing import prepare
from graftline.models.layers import layers
from graftline.models.network import Network
from graftline.runtime import events
from graftline.strategies.weights.features import converged_head
from graftline.training.batches.losses import loss_of
from graftline.training.batches.samples import Indices, sequential_batches
from graftline.training.interface import StrategyInput
from graftline.training.recipe import head_iterations

MOST, LEAST = 256, 16
"""Maximum and minimum number of training images that channel weights are computed on."""
EPOCHS = 2
"""Maximum cost of the channel weights in training epochs, if more than `LEAST` images are used; an epoch is counted as
three forward passes of each image."""
BATCH = 32
"""Batch size."""
TOGETHER = 2**22
"""Maximum number of values in the feature maps of one forward pass; each map in it has one zeroed channel."""
SOFTENING = 5.0
"""Softmax temperature of the standardized loss increases, as in the authors' code."""


@contextmanager
def tapped(network: Network, names: Sequence[str], *, copied: bool = False) -> Iterator[dict[str, Tensor]]:
    """Records the feature maps of some layers at each forward pass through the backbone, as a context manager.

    Args:
        network: Network whose backbone gets forward hooks; they are removed on exit.
        names: Names of the backbone's layers.
        copied: Whether to copy the maps, so that a later in-place layer (such as a ReLU) does not change them.

    Yields:
        A dictionary from the layer's name to its map in the latest forward pass.
    """
    units, maps = dict(layers(network)), dict[str, Tensor]()

    def tap(name: str) -> Any:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            map_ = output[0] if isinstance(output, tuple) else output
            maps[name] = map_.clone() if copied else map_

        return keep

    handles = [_last(units[name]).register_forward_hook(tap(name)) for name in names]
    handles.append(network.backbone.register_forward_pre_hook(lambda *_: maps.clear()))  # frees the last batch's graph
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def axis(unit: nn.Module, map_: Tensor) -> int:
    """Returns the channel axis of a layer's map: 1 for (B, C, H, W) of convolutions, else the last one (tokens)."""
    return 1 if map_.dim() > 3 and any(isinstance(part, nn.Conv2d) for part in unit.modules()) else map_.dim() - 1


def channel_weights(inputs: StrategyInput, names: Sequence[str]) -> dict[str, Tensor]:
    """Computes channel weights from the increase of the source network's loss when a channel is zeroed.

    The source network is the frozen backbone with a head fitted on the target's training images.

    Args:
        inputs: Input of the strategy; a stratified sample of its training images is used.
        names: Names of the backbone's layers.

    Returns:
        A dictionary from the layer's name to its weights, float32 (C,), positive, with sum 1.

    Raises:
        DivergedError: The features or the weights of the head are not finite.
    """
    network = converged_head(inputs, head_iterations(len(inputs.train))).start.network.eval()
    units = dict(layers(network))
    weighed = ChannelWeighing(inputs, network, {name: units[name] for name in names})
    with torch.no_grad():
        places = sample(inputs.train.labels, weighed.affordable(), inputs.seed)
        total: dict[str, Tensor] = {}
        for some in sequential_batches(len(places), BATCH):
            for name, rises in weighed.rises(places[some]).items():
                total[name] = total.get(name, 0) + len(some) / len(places) * rises
    events.log(f"delta: {sum(map(len, total.values()))} channels weighed on {len(places)} training images")
    return {name: attention(rises) for name, rises in total.items()}


def attention(rises: Tensor) -> Tensor:
    """Returns the softmax of standardized loss increases (C,), with temperature `SOFTENING`."""
    deviation = rises.std(correction=0)
    return ((rises - rises.mean()) / deviation.clamp(min=torch.finfo(rises.dtype).tiny) / SOFTENING).softmax(dim=0)


def sample(labels: NDArray[Any], count: int, seed: int) -> Indices:
    """Draws at most `count` indices, sorted in ascending order.

    Args:
        labels: (N,) class indices, which are sampled evenly by class, or (N, D), which are sampled uniformly.
        count: Maximum number of indices.
        seed: Seed of the random generator.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    labels = labels if labels.ndim == 1 else np.zeros(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)
    for each in np.unique(labels):
        places = order[labels[order] == each]
        turn[places] = np.arange(len(places))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


class ChannelWeighing:
    """Computes the loss increase caused by zeroing each channel of the source network's layers, without gradients."""

    def __init__(self, inputs: StrategyInput, network: Network, units: dict[str, nn.Module]) -> None:
        self.inputs, self.network, self.units = inputs, network, units
        self.loss = loss_of(inputs.training.loss, inputs.objective)
        self.short: dict[str, bool] = {}
        """Whether the layers before a layer can run on an empty batch when its map is replaced, by layer name."""

    def affordable(self) -> int:
        """Returns the number of images to use, limited by the cost of the forward passes (see `EPOCHS`)."""
        maps, _, _, _ = self._forward(np.arange(1))
        place = {name: number for number, (name, _) in enumerate(layers(self.network), start=1)}
        passes = sum(
            map_.shape[axis(self.units[name], map_)] * (1 - place[name] / len(place)) for name, map_ in maps.items()
        )
        images = len(self.inputs.train)
        return min(images, MOST, max(LEAST, round(EPOCHS * 3 * images / max(1.0, passes))))

    def rises(self, places: Indices) -> dict[str, Tensor]:
        """Returns the increase (C,) of the mean loss for each zeroed channel, by layer name.

        Args:
            places: Indices of training images.
        """
        maps, images, labels, logits = self._forward(places)
        before = self.loss(logits, labels, 0.0)
        found = {}
        for name, map_ in maps.items():
            if name not in self.short:
                self.short[name] = self._passes_on(name, map_, images, logits)
            channels = map_.shape[axis(self.units[name], map_)]
            count = max(1, TOGETHER // map_.numel())
            parts = [
                self._zeroed(name, map_, list(range(low, min(low + count, channels))), images, labels)
                for low in range(0, channels, count)
            ]
            found[name] = torch.cat(parts) - before
        return found

    def _forward(self, places: Indices) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        train, start = self.inputs.train, self.inputs.contract
        images = as_input(prepare(train.images(places).to(self.inputs.device), start))
        with tapped(self.network, list(self.units), copied=True) as maps:
            logits = self.network(images)
        return maps, images, train.targets(places).to(self.inputs.device), logits

    def _zeroed(self, name: str, map_: Tensor, channels: list[int], images: Tensor, labels: Tensor) -> Tensor:
        """Returns the loss with one channel zeroed, for each of the given channels."""
        copies = torch.stack([map_] * len(channels))
        for number, channel in enumerate(channels):
            copies[number].select(axis(self.units[name], map_), channel).zero_()
        below = images[:0] if self.short[name] else images.repeat(len(channels), 1, 1, 1)
        logits = self._from(name, copies.flatten(0, 1), below)
        return torch.stack([self.loss(part, labels, 0.0) for part in logits.chunk(len(channels))])

    def _from(self, name: str, map_: Tensor, images: Tensor) -> Tensor:
        """Returns the logits when a layer's output is replaced by the given map."""

        def put(module: nn.Module, args: Any, output: Any) -> Any:
            return (map_, *output[1:]) if isinstance(output, tuple) else map_

        handle = _last(self.units[name]).register_forward_hook(put)
        try:
            logits: Tensor = self.network(images)
        finally:
            handle.remove()
        return logits

    def _passes_on(self, name: str, map_: Tensor, images: Tensor, logits: Tensor) -> bool:
        # The map replaces the layer's output, so earlier layers can run on an empty batch. Networks that do not support
        # empty batches, or that have connections around the layer, run on the full batch instead.
        try:
            again = self._from(name, map_.clone(), images[:0])
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            return False
        return again.shape == logits.shape and torch.allclose(again, logits, rtol=1e-3, atol=1e-4)


def _last(unit: nn.Module) -> nn.Module:
    # A layer with several parts is a list that may contain parameters; its map is the output of the last module.
    if not isinstance(unit, nn.ModuleList):
        return unit
    return [part for part in unit if not isinstance(part, nn.ParameterList)][-1]
