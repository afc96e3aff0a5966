"""`zero`: the source model, head included, as it is; its classes become the target's by name, else by counting."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftline.data.labels import LABEL_TYPES
from graftline.models.checkpoint import InputContract
from graftline.models.devices import place
from graftline.models.inputs.sizes import for_images
from graftline.models.network import Network
from graftline.models.transfer.class_map import ClassMap, with_class_map
from graftline.strategies.weights.class_matching import by_name
from graftline.training.batches.samples import Samples
from graftline.training.contract import NotApplicableError, StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze


def train(task: StrategyInput) -> StrategyResult:
    """Puts a fixed map behind the source's head; trains nothing.

    Raises:
        NotApplicableError: The source has no head that means anything.
    """
    source = task.start.manifest
    if source.strategy == "random" or not source.classes:
        raise NotApplicableError("the source has no trained head")
    if not LABEL_TYPES[source.task].is_class or not LABEL_TYPES[task.objective.task].is_class:
        raise NotApplicableError(
            f"the source's outputs are those of {source.task}, the target's of "
            f"{task.objective.task}; only classes can be mapped"
        )
    shares = by_name(source.classes, task.classes)
    notes = _told(shares, task.classes)
    own = copy.deepcopy(task.start.network)
    place(own, task.device)
    if not shares.any():
        logits = _source_logits(task, own, task.train)
        shares, notes = empirical(logits.softmax(dim=1).cpu().double().numpy(), task.train.labels, len(task.classes))
    network = with_class_map(own, len(source.classes), len(task.classes)).to(task.device)
    map_ = network.get_submodule("head.1")
    if not isinstance(map_, ClassMap):
        raise TypeError("head.1 is no class map")
    map_.shares.copy_(torch.from_numpy(shares))
    freeze([network])
    network.eval()

    def predict(samples: Samples) -> Tensor:
        with torch.no_grad():
            target: Tensor = map_(_source_logits(task, own, samples))
        return target

    return StrategyResult(
        network,
        _contract(task),
        source.small,
        source.head,
        predict,
        source_head=source.source_head,
        mapped_from=len(source.classes),
        architecture=source.architecture,
        notes=notes,
    )


def _told(shares: NDArray[np.float64], target: list[str]) -> list[str]:
    missing = [name for name, row in zip(target, shares, strict=True) if not row.any()]
    notes = [f"{len(target) - len(missing)} of {len(target)} classes matched by name"]
    if missing:
        notes.append(f"never predicted, for no source class is called so: {', '.join(missing)}")
    return notes


def empirical(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], list[str]]:
    """Estimates p(y|z) from source probabilities and target labels, as LEEP does (Nguyen et al. 2020).

    Args:
        probabilities: (N, K_source), rows sum to 1.
        labels: (N,), of the target's training images.
        classes: K_target.

    Returns:
        (K_target, K_source) with columns that sum to 1, and notes.
    """
    joint = np.zeros((classes, probabilities.shape[1]))
    np.add.at(joint, labels, probabilities / len(labels))
    marginal = joint.sum(axis=0)
    shares = joint / np.maximum(marginal, np.finfo(np.float64).tiny)
    return shares, [
        "no class matched by name: the map p(target class | source class) was counted on training labels, "
        "no weight was trained"
    ]


def _source_logits(task: StrategyInput, network: Network, samples: Samples) -> Tensor:
    return task.start.frozen_outputs("logits", network, samples, _contract(task), task.device, task.progress)


def _contract(task: StrategyInput) -> InputContract:
    """As the source is: at its own resolution, whatever is trained at another."""
    return for_images(task.start.manifest.input, task.image_shape)
