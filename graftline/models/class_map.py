"""The fixed map from a source's classes to the target's that the strategy `zero` appends to the source's head."""

import torch
from torch import Tensor, nn

MIN_PROBABILITY = 1e-12
"""Lower bound of a target class's probability, which keeps its logarithm finite."""


class ClassMap(nn.Module):
    """Maps source logits to target logits, log sum_z p(y|z) p(z), with a fixed matrix stored with the weights.

    Attributes:
        shares: Matrix p(y|z) of shape (K_target, K_source). Each column sums to 1, or to 0 for a source class
            without a target class.
    """

    shares: Tensor

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.empty(target, source))

    def forward(self, logits: Tensor) -> Tensor:
        """Maps (B, K_source) logits to (B, K_target) logits."""
        return (logits.softmax(dim=1) @ self.shares.T).clamp(min=MIN_PROBABILITY).log()
