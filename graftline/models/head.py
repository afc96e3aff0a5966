"""graftline's head, which maps pooled features to outputs."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graftline.config import Head
from graftline.models.objective import Objective


class Scale(nn.Module):
    """Maps standardized values to the labels' units, with constants stored with the weights.

    Attributes:
        mean: Means (D,) of the training labels.
        deviation: Standard deviations (D,), above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32))

    def forward(self, values: Tensor) -> Tensor:
        """Maps values (B, D) to (B, D) in float32, because 16 bits cannot resolve values such as 1000 +/- 1."""
        return values.float() * self.deviation + self.mean


def new_head(feature_size: int, classes: int, head: Head, objective: Objective | None = None) -> nn.Module:
    """Returns a head with random weights.

    Args:
        feature_size: D, the width of the pooled features.
        classes: K, the number of outputs.
        head: Configuration of the hidden layers and dropout.
        objective: Meaning of the outputs; None for class logits.

    Returns:
        The head, which maps (B, D) features to (B, K) logits. It has dropout (if configured), a linear layer and ReLU
        for each hidden layer, then dropout and the last linear layer, `out`. For regression, a `Scale` follows and the
        outputs are values.
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
