"""Batch spectral shrinkage (Chen et al. 2019)."""

import torch
from torch import Tensor


def shrinkage(features: Tensor, k: int) -> Tensor:
    """Returns the sum of the k smallest squared singular values, in 32 bits.

    Args:
        features: (B, D); with min(B, D) under k, all singular values count.
        k: At least 1.
    """
    # What is no number would end the decomposition with an error; the loss itself tells the loop that it diverged.
    values: Tensor = torch.linalg.svdvals(features.float().nan_to_num(0.0, 0.0, 0.0))
    return values[-k:].square().sum()
