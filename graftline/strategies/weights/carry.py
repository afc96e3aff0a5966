"""Transfer of a source model's weights to the target's network; other layers are reinitialized."""

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
    """The target's network, whose first layers have the source's weights."""

    network: Network
    contract: InputContract
    transferred: Transferred
    layers: list[tuple[str, nn.Module]]
    """Names and modules of the backbone's layers, from the input."""
    count: int
    """Number of transferred layers."""
    head: bool
    """Whether the entire head is transferred too, without reinitialized rows."""
    surgery: Surgery
    """Classes whose rows of the head were kept, reinitialized and dropped."""

    @property
    def notes(self) -> list[str]:
        """Notes on how the head was initialized; empty if it was reinitialized."""
        if self.head:
            return ["head transferred: every class has a source class of the same name"]
        if not self.surgery.kept:
            return []
        return [
            f"head: rows of {len(self.surgery.kept)} classes kept by name, {len(self.surgery.new)} reinitialized, "
            f"{len(self.surgery.dropped)} of the source's dropped"
        ]

    def result(self, trained: StrategyResult, *notes: str) -> StrategyResult:
        """Returns a copy of a result with the transfer's record and notes added.

        Args:
            trained: Result of the training.
            notes: Further notes, after those on the head.
        """
        return replace(
            trained,
            reinitialised=self.transferred.reinitialised,
            dropped=self.transferred.dropped,
            surgery=self.surgery,
            notes=[*self.notes, *notes],
        )


def fresh(inputs: StrategyInput, architecture: dict[str, float | int | str] | None = None) -> Network:
    """Builds the target's network with random weights.

    The network has the shape in `inputs.shape`: the source's or, for the control of a student, the student's.

    Args:
        inputs: Input of the strategy; its seed determines the weights.
        architecture: Changes to the backbone's structure; None: those of the shape.
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
    """Builds the target's network and transfers the source's first layers to it.

    Args:
        inputs: Input of the strategy.
        layers_kept: Number of layers to transfer, from the input, or the name of the last one; None: all.
        head: Whether to transfer the head by class name too (see `graft`), if all layers are transferred.

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: The layer does not exist, or the number exceeds that of the backbone's layers.
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
    """Converts a count or a layer's name to a number of layers from the input.

    Args:
        layer: A count, or the name of the last layer to include.
        names: Names of all layers, from the input.
        what: Name of the option, for the error message.

    Raises:
        RefusedError: The layer does not exist; the message lists the names.
    """
    if isinstance(layer, str) and layer in names:
        return names.index(layer) + 1
    if isinstance(layer, int) and layer <= len(names):
        return layer
    raise RefusedError(
        f"strategies.partial.{what}: {layer!r}; expected a count from 0 to {len(names)} or one of the "
        f"backbone's layers, from the input: {', '.join(names)}"
    )
