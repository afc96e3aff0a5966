"""Batch spectral shrinkage (Chen et al. 2019)."""

import torch
from torch import Tensor


def shrinkage(features: Tensor, k: int) -> Tensor:
    """Returns the sum of the k smallest squared singular values, computed in float32.

    Args:
        features: (B, D); if min(B, D) is less than k, all singular values are summed.
        k: Number of singular values, at least 1.
    """
    # Non-finite values would raise an error in the decomposition; the training loop detects divergence from the loss.
    values: Tensor = torch.linalg.svdvals(features.float().nan_to_num(0.0, 0.0, 0.0))
    return values[-k:].square().sum()
