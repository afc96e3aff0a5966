"""From a source's classes to the target's, without a trained weight: what `zero` puts behind the source's head."""

import torch
from torch import Tensor, nn

from graftline.models.network import Network

TINIEST = 1e-12
"""Probability of a class that the map never reaches; its logarithm is still a number."""


class ClassMap(nn.Module):
    """log sum_z p(y|z) p(z): source logits to target logits by a fixed matrix, stored with the weights.

    Attributes:
        shares: (K_target, K_source), p(y|z): columns sum to 1, or to 0 for source classes that mean nothing here.
    """

    shares: Tensor

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.register_buffer("shares", torch.empty(target, source))

    def forward(self, logits: Tensor) -> Tensor:
        """Maps (B, K_source) logits to (B, K_target) logits."""
        return (logits.softmax(dim=1) @ self.shares.T).clamp(min=TINIEST).log()


def with_class_map(network: Network, source: int, target: int) -> Network:
    """Puts a class map, still unfilled, behind a network's head.

    Args:
        network: With a head of `source` outputs; its parts are shared with the result.
        source: K of the source.
        target: K of the target.
    """
    head = nn.Sequential(network.head, ClassMap(source, target))
    return Network(network.backbone, head, network.feature_size)
