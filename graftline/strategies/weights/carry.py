"""From a source to the target's network: which layers are carried, which are drawn anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from graftline.models.checkpoint import EpochRecord, InputContract
from graftline.models.devices import seeded
from graftline.models.layers import layer_keys, layers
from graftline.models.network import Network, build
from graftline.models.transfer.gate import Transferred, transfer
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.surgery import Grafted, anew, graft
from graftline.training.batches.samples import Samples
from graftline.training.contract import NotApplicableError, StrategyInput, StrategyResult, Surgery, predictor
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import trained_parameters
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import ParameterGroup
from graftline.training.loop.stepper import Criterion, LossTerms, Penalty
from graftline.training.recipe.student import shape_of
from graftline.training.validation import hold_out


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
            return ["head carried: every class has its namesake in the source"]
        if not self.surgery.kept:
            return []
        return [
            f"head: rows of {len(self.surgery.kept)} classes kept by name, {len(self.surgery.new)} drawn anew, "
            f"{len(self.surgery.dropped)} of the source's dropped"
        ]


def fresh(task: StrategyInput, architecture: dict[str, float | int | str] | None = None) -> Network:
    """Builds the target's network as the source's (for a student's control, the student's), with random weights.

    Args:
        task: Its source says backbone and shape, its seed draws.
        architecture: Changes by `structure`; None: the source's own.
    """
    shape = shape_of(task.start.manifest, task.student)
    with seeded(task.seed, "target weights"):
        return build(
            shape.backbone,
            len(task.classes),
            input=task.contract,
            small=shape.small,
            head=task.head,
            architecture=shape.architecture if architecture is None else architecture,
            objective=task.objective,
        )


def carried(task: StrategyInput, layers_kept: int | str | None = None, *, head: bool = False) -> Carried:
    """Builds the target's network and carries the source's first layers into it.

    Args:
        task: What to train.
        layers_kept: How many layers from the input, or the name of the last one; None: all.
        head: Carry the head as well where all layers are, by the names of classes (see `graft`).

    Raises:
        NotApplicableError: The source has random weights.
        RefusedError: No such layer, or more than there are.
    """
    if task.start.manifest.strategy == "random":
        raise NotApplicableError("the source has random weights: nothing to carry over")
    network = fresh(task)
    every = layers(network)
    count = len(every) if layers_kept is None else place_of(layers_kept, [name for name, _ in every], "carry")
    keys = layer_keys(network)
    only = None if count == len(every) else [key for name, _ in every[:count] for key in keys[name]]
    done = transfer(task.start.network.state_dict(), network, only=only)
    grafted = graft(task, network) if head and only is None else Grafted(anew(task))
    done = _with_head(done, grafted)
    return Carried(network, task.contract, done, every, count, grafted.whole, grafted.surgery)


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


def train_groups(
    task: StrategyInput,
    network: Network,
    contract: InputContract,
    groups: list[ParameterGroup],
    *,
    stage: str = "",
    penalties: Sequence[Penalty] = (),
    criterion: Criterion | None = None,
) -> tuple[TrainingLoop, StrategyResult]:
    """Trains some weights of a network by the task's schedule.

    Args:
        task: What to train.
        network: Changed in place.
        contract: Its input.
        groups: The weights and their rates.
        stage: Name of this loop, for curves and for the journal: unique within a strategy.
        penalties: Added to the loss, batch by batch.
        criterion: In the place of the configured loss.

    Returns:
        The loop as it ended, and the result without what only the strategy knows.
    """
    loop = TrainingLoop(
        network,
        groups,
        task.training,
        contract,
        TrainingStage(task.seed, task.device, task.progress, stage),
        loss=LossTerms(criterion, penalties=penalties),
    )
    with seeded(task.seed, stage or "training"):
        history = fit(
            loop, task.train, task.val, task.training.epochs or 1, journal=task.journal, max_examples=task.until
        )
    source = task.start.manifest
    return loop, StrategyResult(
        network,
        contract,
        source.small,
        task.head,
        predictor(network, contract, task.device),
        architecture=source.architecture,
        history=history,
        examples_seen=loop.examples_seen,
        trained_parameters=trained_parameters(network),
        learning_rate=groups[0].lr,
        over=loop.is_finished,
        diverged=loop.diverged,
        numerics=loop.stepper.note,
    )


def onward(points: Sequence[EpochRecord], examples_seen: int, seconds: float) -> list[EpochRecord]:
    """Returns a later part's curve on the axes of the whole training.

    Args:
        points: Of the part.
        presentations: Before it.
        seconds: Likewise.
    """
    return [
        point.model_copy(
            update={"examples_seen": point.examples_seen + examples_seen, "seconds": point.seconds + seconds}
        )
        for point in points
    ]


def usable_val(task: StrategyInput) -> tuple[Samples, Samples, list[str]]:
    """Returns what to train on and what to stop by: the validation split, or, without one, a fifth of train."""
    if len(task.val):
        return task.train, task.val, []
    inside, held = hold_out(task.train.labels, task.seed)
    if not len(held):
        raise RefusedError(
            "target.data: no validation images and no class with two training images to hold one out; "
            "the control needs some to stop by"
        )
    return task.train.subset(inside), task.train.subset(held), ["no validation split: a fifth of train was held out"]
