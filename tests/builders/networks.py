"""Networks with random weights."""

from typing import Any

from graftline.models.input_contract import InputContract
from graftline.models.network import Network, build_network
from graftline.models.objective import Objective
from graftline.models.spec import NetworkSpec


def build(
    backbone: str, n_classes: int, *, input: InputContract, objective: Objective | None = None, **fields: Any
) -> Network:
    """Builds a network for `n_classes` classes; `fields` are those of `NetworkSpec`."""
    classes = [f"class {number}" for number in range(n_classes)]
    task = (objective or Objective()).task
    spec = NetworkSpec(backbone=backbone, input=input, classes=classes, task=task, **fields)
    return build_network(spec, objective)
