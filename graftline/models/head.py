"""graftline's own head: what stands on the pooled features."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graftline.config import Head
from graftline.models.objective import Objective


class Scale(nn.Module):
    """Standardized values to the labels' own units; fixed, stored with the weights.

    Attributes:
        mean: (D,) of the training labels.
        deviation: (D,), above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """Maps (B, D) to (B, D), in 32 bits whatever the precision before: 1000 +- 1 would be lost in 16."""
        return values.float() * self.deviation + self.mean


def new_head(feature_size: int, classes: int, head: Head, objective: Objective | None = None) -> nn.Module:
    """Makes a head with random weights.

    Args:
        feature_size: D, the width of the pooled features.
        classes: K, the number of outputs.
        head: Hidden layers and dropout.
        objective: What the outputs mean; None: logits of classes.

    Returns:
        (B, D) features -> (B, K) logits: dropout (where asked), dense, ReLU for each hidden layer, then dropout
        and the last dense layer, called `out`. For regression a `Scale` follows, and these are values.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    units = feature_size
    for number, width in enumerate(head.hidden, start=1):
        if head.dropout:
            parts[f"dropout{number}"] = nn.Dropout(head.dropout)
        parts[f"hidden{number}"] = nn.Linear(units, width)
        parts[f"relu{number}"] = nn.ReLU()
        units = width
    if head.dropout:
        parts["dropout"] = nn.Dropout(head.dropout)
    parts["out"] = nn.Linear(units, classes)
    if objective is not None and objective.deviation:
        parts["scale"] = Scale(objective.mean, objective.deviation)
    return nn.Sequential(parts)
