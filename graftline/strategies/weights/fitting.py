"""Training of some or all weights of a network, shared by most strategies."""

from collections.abc import Sequence

from graftline.models.checkpoint import EpochRecord
from graftline.models.devices import seeded
from graftline.models.input_contract import InputContract
from graftline.models.network import Network
from graftline.runtime.errors import RefusedError
from graftline.strategies.weights.carry import Carried
from graftline.training.batches.samples import Samples
from graftline.training.interface import StrategyInput, StrategyResult, predictor
from graftline.training.loop.fit import fit
from graftline.training.loop.freezing import trained_parameters
from graftline.training.loop.loop import TrainingLoop, TrainingStage
from graftline.training.loop.optimizer import ParameterGroup, parameter_group
from graftline.training.loop.stepper import Criterion, LossTerms, Penalty
from graftline.training.recipe import rates
from graftline.training.validation import hold_out


def train_groups(
    inputs: StrategyInput,
    network: Network,
    contract: InputContract,
    groups: list[ParameterGroup],
    *,
    stage: str = "",
    penalties: Sequence[Penalty] = (),
    criterion: Criterion | None = None,
) -> tuple[TrainingLoop, StrategyResult]:
    """Trains groups of a network's weights with the configured schedule.

    Args:
        inputs: Input of the strategy.
        network: Network to train, changed in place.
        contract: Input contract of the network.
        groups: The weights to train and their learning rates.
        stage: Name of this loop in learning curves and in the journal, unique within a strategy.
        penalties: Terms added to the loss of each batch.
        criterion: Loss to use instead of the configured one.

    Returns:
        The loop in its final state, and the result without the fields that are specific to the strategy.
    """
    loop = TrainingLoop(
        network,
        groups,
        inputs.training,
        contract,
        TrainingStage(inputs.seed, inputs.device, inputs.progress, stage),
        loss=LossTerms(criterion, penalties=penalties),
    )
    with seeded(inputs.seed, stage or "training"):
        history = fit(
            loop,
            inputs.train,
            inputs.val,
            inputs.training.epochs or 1,
            journal=inputs.journal,
            max_examples=inputs.until,
        )
    source = inputs.start.manifest
    return loop, StrategyResult(
        network,
        contract,
        source.small,
        inputs.head,
        predictor(network, contract, inputs.device),
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
    """Returns the learning curve of a later part with the offsets of the whole training added.

    Args:
        points: Learning curve of the part.
        examples_seen: Number of training images seen before the part.
        seconds: Seconds of training before the part.
    """
    return [
        point.model_copy(
            update={"examples_seen": point.examples_seen + examples_seen, "seconds": point.seconds + seconds}
        )
        for point in points
    ]


def usable_val(inputs: StrategyInput) -> tuple[Samples, Samples, list[str]]:
    """Returns training samples, validation samples for early stopping, and notes.

    Without a validation split, a fifth of the training split is held out.

    Raises:
        RefusedError: There is no validation split, and no class has two training images.
    """
    if len(inputs.val):
        return inputs.train, inputs.val, []
    inside, held = hold_out(inputs.train.labels, inputs.seed)
    if not len(held):
        raise RefusedError(
            "target.data: no validation images and no class with two training images to hold one out; "
            "the control needs some to stop by"
        )
    return (
        inputs.train.subset(inside),
        inputs.train.subset(held),
        ["no validation split: a fifth of train was held out"],
    )


def train_all(
    inputs: StrategyInput, start: Carried, *, penalties: Sequence[Penalty] = (), decay: bool = True
) -> StrategyResult:
    """Trains all layers of a network with transferred weights.

    Args:
        inputs: Input of the strategy.
        start: The network and its transfer; the network is changed in place.
        penalties: Terms added to the loss of each batch.
        decay: Whether the optimizer applies `training.weight_decay`.
    """
    rate = rates(inputs.training)
    groups = [
        parameter_group([start.network.head], rate.carried if start.head else rate.new, decay=decay),
        parameter_group([start.network.backbone], rate.carried, decay=decay),
    ]
    _, trained = train_groups(inputs, start.network, start.contract, groups, penalties=penalties)
    return start.result(trained)
