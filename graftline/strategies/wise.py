"""`wise`: the mean of a linear-probed model and its fine-tuning (WiSE-FT, Wortsman et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from graftline.config import Fraction, StrategyOptions
from graftline.strategies.record import Strategy, TournamentVariant
from graftline.training.profile import TrainingProfile

if TYPE_CHECKING:
    from graftline.training.interface import StrategyInput, StrategyResult


class Wise(StrategyOptions):
    """The weighted mean of the linear-probed model's weights and those of the fine-tuning that started from it."""

    name: Literal["wise"] = "wise"
    alpha: Fraction | None = None
    """Weight of the fine-tuned model; by default chosen on validation."""


def train(inputs: StrategyInput) -> StrategyResult:
    """Fits a head, trains all layers from there at the transferred layers' rate, then takes the weighted mean of both.

    The weight is the given one, else the best on validation, else a half. Running statistics of the mean are estimated
    on training images without augmentation.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss diverged.
    """
    from dataclasses import replace

    from graftline.strategies.methods.interpolation import Ends, choose_alpha, copy_state
    from graftline.strategies.weights.features import converged_head
    from graftline.strategies.weights.fitting import onward, train_groups
    from graftline.training.loop.freezing import thaw
    from graftline.training.loop.optimizer import parameter_group
    from graftline.training.recipe import head_iterations, rates

    options = inputs.asked(Wise)
    fit = converged_head(inputs, head_iterations(len(inputs.train)))
    start, network, rate = fit.start, fit.start.network, rates(inputs.training).carried
    head = inputs.journal.get_or_create("probe", network.head.state_dict)
    network.head.load_state_dict(head)
    probe = copy_state(network)
    thaw([network])
    groups = [parameter_group([network.head], rate), parameter_group([network.backbone], rate)]
    loop, trained = train_groups(inputs, network, start.contract, groups)
    alpha, reason = choose_alpha(inputs, network, Ends(probe, copy_state(network)), options.alpha)
    seen = fit.fitted.iterations * len(inputs.train)
    history = [*fit.fitted.history, *onward(trained.history, seen, fit.fitted.history[-1].seconds)]
    trained = replace(trained, history=history, examples_seen=seen + loop.examples_seen)
    return start.result(trained, fit.fitted.note, f"weight of the fine-tuned model: {alpha:g}, {reason}")


STRATEGY = Strategy(
    Wise,
    train,
    TrainingProfile(uses_features=True),
    variants=(
        TournamentVariant(9, "the mean of probe and fine-tuning is rarely worse than either (Wortsman et al. 2022)"),
    ),
    examples=(Wise(alpha=0.5),),
)
