"""`feature`: a frozen backbone, its features computed once, a new head on them (Donahue et al. 2014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from graftline.config import StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from torch import Tensor

    from graftline.training.batches.samples import Samples
    from graftline.training.interface import StrategyInput, StrategyResult


class Feature(StrategyOptions):
    """Frozen backbone, features once, a new head trained to convergence."""

    name: Literal["feature"] = "feature"
    views: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of views of each image whose features are computed: once as it is, the others augmented."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Fits a new head to convergence on features in eval mode, of images as they are and, with `views`, augmented.

    No row of the source's head is kept: with a head of one layer the fit has one solution, whatever it starts from.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: Features or head are not finite.
    """
    import torch

    from graftline.strategies.weights.features import converged_head, features_of
    from graftline.training.interface import StrategyResult
    from graftline.training.loop.freezing import trained_parameters
    from graftline.training.recipe import head_iterations

    views = inputs.options.views if isinstance(inputs.options, Feature) else 1
    iterations = inputs.training.epochs or head_iterations(len(inputs.train) * views)
    fit = converged_head(inputs, iterations, views)
    network = fit.start.network
    network.eval()
    source = inputs.start.manifest

    def predict(samples: Samples) -> Tensor:
        with torch.no_grad():
            logits: Tensor = network.head(features_of(inputs, fit.start, samples))
        return logits

    trained = StrategyResult(
        network,
        fit.start.contract,
        source.small,
        inputs.head,
        predict,
        architecture=source.architecture,
        history=fit.fitted.history,
        examples_seen=fit.fitted.history[-1].examples_seen,
        trained_parameters=trained_parameters(network),
        learning_rate=fit.fitted.lr,
    )
    return fit.start.result(trained, fit.fitted.note)


STRATEGY = Strategy(
    Feature,
    train,
    TrainingProfile(trains="head", uses_features=True),
    views=lambda options: int(options.views),
    variants=(TournamentVariant(2, "the linear probe: the cheapest transfer, hard to beat with few labels"),),
    examples=(Feature(), Feature(views=2)),
)
