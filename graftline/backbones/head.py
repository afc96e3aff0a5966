"""graftline's own head: what stands on the pooled features."""

from collections import OrderedDict

from torch import nn

from graftline.config import Head


def new_head(feature_size: int, classes: int, head: Head) -> nn.Module:
    """Makes a head with random weights.

    Args:
        feature_size: D, the width of the pooled features.
        classes: K, the number of outputs.
        head: Hidden layers and dropout.

    Returns:
        (B, D) features -> (B, K) logits: dropout (where asked), dense, ReLU for each hidden layer, then dropout
        and the last dense layer, called `out`.
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
    return nn.Sequential(parts)
