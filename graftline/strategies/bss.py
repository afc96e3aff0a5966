"""`bss`: every layer is trained, the smallest singular values of a batch's features are held down.

Directions that hardly carry anything carry what does not transfer (batch spectral shrinkage, Chen et al. 2019).
"""

import torch
from torch import Tensor

from graftline.config.strategies import BSS
from graftline.strategies.full import train_all
from graftline.strategies.weights.carry import carried
from graftline.training.contract import StrategyInput, StrategyResult


def train(task: StrategyInput) -> StrategyResult:
    """Trains all layers; each batch's spectrum is that of the images that go through the network at once.

    Raises:
        NotApplicableError: The source has random weights.
        DivergedError: The loss did.
    """
    options = task.asked(BSS)
    eta, k = options.eta, options.k
    return train_all(task, carried(task, head=True), penalties=[lambda batch: eta * shrinkage(batch.features, k)])


def shrinkage(features: Tensor, k: int) -> Tensor:
    """Returns the sum of the k smallest squared singular values, in 32 bits.

    Args:
        features: (B, D); with min(B, D) under k, all singular values count.
        k: At least 1.
    """
    # What is no number would end the decomposition with an error; the loss itself tells the loop that it diverged.
    values: Tensor = torch.linalg.svdvals(features.float().nan_to_num(0.0, 0.0, 0.0))
    return values[-k:].square().sum()
