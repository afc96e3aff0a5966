"""Maps of a backbone's layers, and how much each channel of them counts for the target (DELTA, Li et al. 2019)."""

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
"""Training images that channels are weighed on, and how many there are at least where there are so many."""
EPOCHS = 2
"""Passes of training that the weighing may cost above `LEAST`; a pass is three forward passes of each image."""
BATCH = 32
"""Images at once."""
TOGETHER = 2**22
"""Numbers in the maps of all the zeroed channels that go through the network at once."""
SOFTENING = 5.0
"""Standardized rises are divided by it before the softmax, as in the authors' code."""


@contextmanager
def tapped(network: Network, names: Sequence[str], *, copied: bool = False) -> Iterator[dict[str, Tensor]]:
    """Inside, each pass through the backbone leaves the maps of some layers in what this gives.

    Args:
        network: Its hooks are gone afterwards, whatever happened.
        names: Layers of the backbone.
        copied: As the layer gave them, where a next one (a ReLU in place) would change them.
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
    """Returns the channels' axis in a layer's map: 1 for convolutions' (B, C, H, W), else the last one (tokens)."""
    return 1 if map_.dim() > 3 and any(isinstance(part, nn.Conv2d) for part in unit.modules()) else map_.dim() - 1


def channel_weights(inputs: StrategyInput, names: Sequence[str]) -> dict[str, Tensor]:
    """Weighs channels by the rise of the source network's loss when one of them is zeroed.

    The source network is its backbone, frozen, with a head fitted on the target's training images.

    Args:
        inputs: Its training images are used, a stratified sample of them.
        names: Layers of the backbone.

    Returns:
        A layer's name to float32 (C,), positive, with sum 1.

    Raises:
        DivergedError: Features or head are not finite.
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
    """Returns the softmax of standardized loss rises (C,), softened."""
    deviation = rises.std(correction=0)
    return ((rises - rises.mean()) / deviation.clamp(min=torch.finfo(rises.dtype).tiny) / SOFTENING).softmax(dim=0)


def sample(labels: NDArray[Any], count: int, seed: int) -> Indices:
    """Draws `count` places in rising order: of classes (N,) class by class in turn, of other labels as they come."""
    order = np.random.default_rng(seed).permutation(len(labels))
    labels = labels if labels.ndim == 1 else np.zeros(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)
    for each in np.unique(labels):
        places = order[labels[order] == each]
        turn[places] = np.arange(len(places))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


class ChannelWeighing:
    """The source network and its layers, without gradients."""

    def __init__(self, inputs: StrategyInput, network: Network, units: dict[str, nn.Module]) -> None:
        self.inputs, self.network, self.units = inputs, network, units
        self.loss = loss_of(inputs.training.loss, inputs.objective)
        self.short: dict[str, bool] = {}
        """By layer: whether the layers below it may run on no image at all when its map is given."""

    def affordable(self) -> int:
        """Returns how many images the weighing may take."""
        maps, _, _, _ = self._forward(np.arange(1))
        place = {name: number for number, (name, _) in enumerate(layers(self.network), start=1)}
        passes = sum(
            map_.shape[axis(self.units[name], map_)] * (1 - place[name] / len(place)) for name, map_ in maps.items()
        )
        images = len(self.inputs.train)
        return min(images, MOST, max(LEAST, round(EPOCHS * 3 * images / max(1.0, passes))))

    def rises(self, places: Indices) -> dict[str, Tensor]:
        """Returns, by layer, the rise (C,) of the mean loss over some training images."""
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
        """Returns the loss with one channel zeroed, for each of some channels."""
        copies = torch.stack([map_] * len(channels))
        for number, channel in enumerate(channels):
            copies[number].select(axis(self.units[name], map_), channel).zero_()
        below = images[:0] if self.short[name] else images.repeat(len(channels), 1, 1, 1)
        logits = self._from(name, copies.flatten(0, 1), below)
        return torch.stack([self.loss(part, labels, 0.0) for part in logits.chunk(len(channels))])

    def _from(self, name: str, map_: Tensor, images: Tensor) -> Tensor:
        """Returns the logits with a map in the place of a layer's own."""

        def put(module: nn.Module, args: Any, output: Any) -> Any:
            return (map_, *output[1:]) if isinstance(output, tuple) else map_

        handle = _last(self.units[name]).register_forward_hook(put)
        try:
            logits: Tensor = self.network(images)
        finally:
            handle.remove()
        return logits

    def _passes_on(self, name: str, map_: Tensor, images: Tensor, logits: Tensor) -> bool:
        # The map is put in behind the layer, so what stands before it has nothing to compute: it gets a batch of no
        # images. A network that does not stand that, or that goes around the layer, gets all of them.
        try:
            again = self._from(name, map_.clone(), images[:0])
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError):
            return False
        return again.shape == logits.shape and torch.allclose(again, logits, rtol=1e-3, atol=1e-4)


def _last(unit: nn.Module) -> nn.Module:
    # A layer of several parts is a list of them, loose parameters among them; its map is what the last part gives.
    if not isinstance(unit, nn.ModuleList):
        return unit
    return [part for part in unit if not isinstance(part, nn.ParameterList)][-1]
