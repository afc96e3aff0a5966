"""Interpolation between the weights of two networks (WiSE-FT, Wortsman et al. 2022)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from graftline.models.devices import as_input
from graftline.models.inputs.preprocessing import prepare
from graftline.models.network import Network
from graftline.training.batches.samples import batch_bounds
from graftline.training.interface import StrategyInput
from graftline.training.validation import BATCH, outputs, score

ALPHAS = sorted((number / 10 for number in range(11)), key=lambda alpha: abs(alpha - 0.5))
"""Interpolation coefficients to try (1: the fine-tuned model), by distance from 0.5; the first of equally good ones is
selected."""
MOST = 4_096
"""Maximum number of training images that running statistics are estimated on."""
PRIOR = 256
"""Weight of the interpolated statistics, as a number of images, when they are combined with the estimated ones."""
State = dict[str, Tensor]


@dataclass(frozen=True)
class Ends:
    """Weights and running statistics of both networks."""

    probe: State
    tuned: State


def choose_alpha(inputs: StrategyInput, network: Network, ends: Ends, given: float | None) -> tuple[float, str]:
    """Interpolates with the given or the best coefficient and returns the coefficient and the reason.

    Args:
        inputs: Input of the strategy.
        network: Network whose weights are set, in place.
        ends: Weights of the probe and of the fine-tuned model.
        given: Coefficient from the config; None: the best one on validation, or 0.5 without validation images.
    """
    if given is not None or not len(inputs.val):
        alpha, reason = (0.5, "no validation images to choose by") if given is None else (given, "as configured")
        interpolate(inputs, network, ends, alpha)
        return alpha, reason
    scores: dict[float, float] = {}
    best, alpha = State(), ALPHAS[0]
    for candidate in ALPHAS:
        interpolate(inputs, network, ends, candidate)
        scores[candidate] = score(
            outputs(network, inputs.val, inputs.contract, inputs.device),
            inputs.val.labels,
            inputs.training.loss,
            inputs.objective,
        ).main
        if not best or scores[candidate] > scores[alpha]:
            best, alpha = copy_state(network), candidate
    network.load_state_dict(best)
    return (
        alpha,
        f"the best on validation: {scores[alpha]:.3f}; probe {scores[0.0]:.3f}, fine-tuned model {scores[1.0]:.3f}",
    )


def interpolate(inputs: StrategyInput, network: Network, ends: Ends, alpha: float) -> None:
    """Sets the network to the weighted mean of both ends and estimates its running statistics.

    Args:
        inputs: Input of the strategy.
        network: Network whose weights are set, in place.
        ends: Weights of the probe and of the fine-tuned model.
        alpha: Coefficient from 0 (the probe) to 1 (the fine-tuned model).
    """
    state = {
        key: torch.lerp(ends.probe[key], value, alpha) if value.is_floating_point() else value
        for key, value in ends.tuned.items()
    }
    network.load_state_dict(ends.probe if alpha == 0 else state)
    if 0 < alpha < 1:
        estimate_statistics(inputs, network)
    network.eval()


def estimate_statistics(inputs: StrategyInput, network: Network) -> None:
    """Estimates batch norm's running statistics on training images without augmentation.

    This follows `torch.optim.swa_utils.update_bn`, except that all other layers stay in eval mode and that the previous
    statistics are weighted like `PRIOR` images (Schneider et al. 2020). In an experiment, statistics of 16 images alone
    lowered the score by 15 points.
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
    previous = [{key: value.clone() for key, value in norm.state_dict().items()} for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    indices = np.random.default_rng(inputs.seed).permutation(len(inputs.train))[:MOST]
    with torch.no_grad():
        for low, high in batch_bounds(len(indices), BATCH):
            images = prepare(inputs.train.images(indices[low:high]).to(inputs.device), inputs.contract)
            network.backbone(as_input(images))
    kept = PRIOR / (PRIOR + len(indices))
    for norm, momentum, own in zip(norms, momenta, previous, strict=True):
        for key, value in norm.state_dict().items():
            if key in ("running_mean", "running_var"):
                value.lerp_(own[key], kept)
        norm.momentum = momentum
        norm.eval()


def copy_state(network: Network) -> State:
    """Returns a copy of the network's weights and statistics."""
    return {key: value.clone() for key, value in network.state_dict().items()}
