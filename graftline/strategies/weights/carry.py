"""From a source to the target's network: which layers are carried, which are drawn anew."""

from dataclasses import dataclass, replace

from torch import nn

from graftline.models.devices import seeded
from graftline.models.input_contract import InputContract
from graftline.models.layers import layer_keys, layers
from graftline.models.network import Network, build_network
from graftline.models.spec import NetworkSpec
from graftline.models.transfer.gate import Transferred, transfer
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.surgery import Grafted, anew, graft
from graftline.training.interface import NotApplicableError, StrategyInput, StrategyResult, Surgery


@dataclass(frozen=True)
class Carried:
    """The target's network with the source's weights in its first layers."""

    network: Network
    contract: InputContract
    transferred: Transferred
    layers: list[tuple[str, nn.Module]]
    """The backbone's, from the input."""
    count: int
    """How many of them are carried."""
    head: bool
    """Whether the whole head is carried too, nothing of it drawn anew."""
    surgery: Surgery
    """What became of its rows."""

    @property
    def notes(self) -> list[str]:
        """What a reader would not expect."""
        if self.head:
            return ["head transferred: every class has a source class of the same name"]
        if not self.surgery.kept:
            return []
        return [
            f"head: rows of {len(self.surgery.kept)} classes kept by name, {len(self.surgery.new)} reinitialized, "
            f"{len(self.surgery.dropped)} of the source's dropped"
        ]

    def result(self, trained: StrategyResult, *notes: str) -> StrategyResult:
        """Returns a result with what was reinitialized and dropped, the notes on the head and further ones."""
        return replace(
            trained,
            reinitialised=self.transferred.reinitialised,
            dropped=self.transferred.dropped,
            surgery=self.surgery,
            notes=[*self.notes, *notes],
        )


def fresh(inputs: StrategyInput, architecture: dict[str, float | int | str] | None = None) -> Network:
    """Builds the target's network as the source's (for a student's control, the student's), with random weights.

    Args:
        inputs: Its source says backbone and shape, its seed draws.
        architecture: Changes by `structure`; None: the source's own.
    """
    shape = inputs.shape
    with seeded(inputs.seed, "target weights"):
        spec = NetworkSpec(
            backbone=shape.backbone,
            input=inputs.contract,
            classes=inputs.classes,
            task=inputs.objective.task,
            small=shape.small,
            head=inputs.head,
            architecture=shape.architecture if architecture is None else architecture,
        )
        return build_network(spec, inputs.objective)


def carried(inputs: StrategyInput, layers_kept: int | str | None = None, *, head: bool = False) -> Carried:
    """Builds the target's network and carries the source's first layers into it.

    Args:
        inputs: What to train.
        layers_kept: How many layers from the input, or the name of the last one; None: all.
        head: Carry the head as well where all layers are, by the names of classes (see `graft`).

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer, or more than there are.
    """
    if inputs.start.manifest.strategy == "random":
        raise NotApplicableError("the source has random weights: nothing to carry over")
    network = fresh(inputs)
    every = layers(network)
    count = len(every) if layers_kept is None else place_of(layers_kept, [name for name, _ in every], "carry")
    keys = layer_keys(network)
    only = None if count == len(every) else [key for name, _ in every[:count] for key in keys[name]]
    done = transfer(inputs.start.network.state_dict(), network, only=only)
    grafted = graft(inputs, network) if head and only is None else Grafted(anew(inputs))
    done = _with_head(done, grafted)
    return Carried(network, inputs.contract, done, every, count, grafted.whole, grafted.surgery)


def _with_head(done: Transferred, grafted: Grafted) -> Transferred:
    return Transferred(
        [*done.carried, *grafted.keys],
        [key for key in done.reinitialised if key not in grafted.keys],
        [key for key in done.dropped if key not in grafted.taken],
    )


def place_of(layer: int | str, names: list[str], what: str) -> int:
    """Returns how many layers from the input a count or a name means.

    Args:
        layer: A count, or the name of the last layer meant.
        names: Of all layers, from the input.
        what: The option, for the message.

    Raises:
        RefusedError: Lists the names.
    """
    if isinstance(layer, str) and layer in names:
        return names.index(layer) + 1
    if isinstance(layer, int) and layer <= len(names):
        return layer
    raise RefusedError(
        f"strategies.partial.{what}: {layer!r}; expected a count from 0 to {len(names)} or one of the "
        f"backbone's layers, from the input: {', '.join(names)}"
    )
