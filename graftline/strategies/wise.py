"""`wise`: between the linear-probed model and the fine-tune that started from it (WiSE-FT, Wortsman et al. 2022)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from graftline.config.strategies import Wise
from graftline.models.devices import as_input
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.strategies.feature import converged_head
from graftline.strategies.weights.carry import onward, train_groups
from graftline.training.batches.samples import batch_bounds
from graftline.training.contract import StrategyInput, StrategyResult
from graftline.training.loop.freezing import thaw
from graftline.training.loop.optimizer import parameter_group
from graftline.training.recipe import head_iterations, rates
from graftline.training.validation import BATCH, outputs, score

ALPHAS = sorted((number / 10 for number in range(11)), key=lambda alpha: abs(alpha - 0.5))
"""Weights of the fine-tune that are tried, from the middle outwards: of equally good ones the first is taken."""
MOST = 4_096
"""Training images that running statistics are estimated on, at most."""
PRIOR = 256
"""Images that the line's own statistics count for beside them."""

State = dict[str, Tensor]


@dataclass(frozen=True)
class Ends:
    """Both ends of the line; running statistics included, which are right for the ends alone."""

    probe: State
    tuned: State


def train(task: StrategyInput) -> StrategyResult:
    """Fits a head, trains all layers from there at the carried layers' rate, then takes the mean of both, weighted.

    The weight is the one given, else the best on validation, else a half. Between the ends running statistics are
    estimated anew, on training images as they are.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    options = task.asked(Wise)
    found = converged_head(task, head_iterations(len(task.train)))
    start, network, rate = found.start, found.start.network, rates(task.training).carried
    head = task.journal.get_or_create("probe", network.head.state_dict)
    network.head.load_state_dict(head)
    probe = _copied(network)
    thaw([network])
    groups = [parameter_group([network.head], rate), parameter_group([network.backbone], rate)]
    loop, trained = train_groups(task, network, start.contract, groups)
    alpha, why = _alpha(task, network, Ends(probe, _copied(network)), options)
    examples_seen = found.fitted.iterations * len(task.train)
    history = [*found.fitted.history, *onward(trained.history, examples_seen, found.fitted.history[-1].seconds)]
    return replace(
        trained,
        history=history,
        examples_seen=examples_seen + loop.examples_seen,
        reinitialised=start.transferred.reinitialised,
        dropped=start.transferred.dropped,
        surgery=start.surgery,
        notes=[found.fitted.note, f"weight of the fine-tune: {alpha:g}, {why}"],
    )


def _alpha(task: StrategyInput, network: Network, ends: Ends, options: Wise) -> tuple[float, str]:
    """Leaves the network at the chosen place of the line; returns that and why."""
    if options.alpha is not None or not len(task.val):
        alpha, why = (0.5, "for want of validation images") if options.alpha is None else (options.alpha, "as given")
        put(task, network, ends, alpha)
        return alpha, why
    scores: dict[float, float] = {}
    best, alpha = State(), ALPHAS[0]
    for each in ALPHAS:
        put(task, network, ends, each)
        scores[each] = score(
            outputs(network, task.val, task.contract, task.device), task.val.labels, task.training.loss, task.objective
        ).main
        if not best or scores[each] > scores[alpha]:
            best, alpha = _copied(network), each
    network.load_state_dict(best)
    return alpha, f"the best on validation: {scores[alpha]:.3f}; probe {scores[0.0]:.3f}, fine-tune {scores[1.0]:.3f}"


def put(task: StrategyInput, network: Network, ends: Ends, alpha: float) -> None:
    """Puts the network to a place of the line, 0 the probe and 1 the fine-tune, with running statistics to match."""
    state = {
        key: torch.lerp(ends.probe[key], value, alpha) if value.is_floating_point() else value
        for key, value in ends.tuned.items()
    }
    network.load_state_dict(ends.probe if alpha == 0 else state)
    if 0 < alpha < 1:
        estimate_statistics(task, network)
    network.eval()


def estimate_statistics(task: StrategyInput, network: Network) -> None:
    """Estimates batch norm's running statistics anew, on training images without augmentation.

    As `torch.optim.swa_utils.update_bn` does, save that all else stays in eval mode, and that the statistics so far
    count as much as `PRIOR` images (Schneider et al. 2020): those of sixteen images alone cost 15 points in a trial.
    """
    norms = [
        part
        for part in network.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None
    ]
    if not norms:
        return
    network.eval()
    momenta = [norm.momentum for norm in norms]
    before = [{key: value.clone() for key, value in norm.state_dict().items()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    places = np.random.default_rng(task.seed).permutation(len(task.train))[:MOST]
    with torch.no_grad():
        for low, high in batch_bounds(len(places), BATCH):
            images = prepare(task.train.images(places[low:high]).to(task.device), task.contract)
            network.backbone(as_input(images))
    kept = PRIOR / (PRIOR + len(places))
    for norm, momentum, own in zip(norms, momenta, before, strict=True):
        for key, value in norm.state_dict().items():
            if key in ("running_mean", "running_var"):
                value.lerp_(own[key], kept)
        norm.momentum = momentum
        norm.eval()


def _copied(network: Network) -> State:
    return {key: value.clone() for key, value in network.state_dict().items()}
