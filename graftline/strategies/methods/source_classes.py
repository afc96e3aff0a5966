"""A fixed class map from the source's classes to the target's."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graftline.data.labels import LABEL_TYPES
from graftline.models.class_map import ClassMap
from graftline.models.devices import place
from graftline.models.input_contract import InputContract
from graftline.models.inputs.sizes import for_images
from graftline.models.network import Network, with_class_map
from graftline.strategies.weights.class_matching import by_name
from graftline.training.batches.samples import Samples
from graftline.training.interface import NotApplicableError, StrategyInput, StrategyResult
from graftline.training.loop.freezing import freeze


def map_source_classes(inputs: StrategyInput) -> StrategyResult:
    """Adds a class map after the source's head.

    Classes are matched by name if any match; otherwise the map is estimated from the training labels.

    Raises:
        NotApplicableError: The source has no trained head, or either task has no classes.
    """
    source = inputs.start.manifest
    if source.strategy == "random" or not source.classes:
        raise NotApplicableError("the source has no trained head")
    if not LABEL_TYPES[source.task].is_class or not LABEL_TYPES[inputs.objective.task].is_class:
        raise NotApplicableError(
            f"the source's outputs are those of {source.task}, the target's of "
            f"{inputs.objective.task}; only classes can be mapped"
        )
    shares = by_name(source.classes, inputs.classes)
    notes = _describe(shares, inputs.classes)
    source_network = copy.deepcopy(inputs.start.network)
    place(source_network, inputs.device)
    if not shares.any():
        logits = _source_logits(inputs, source_network, inputs.train)
        probabilities = logits.softmax(dim=1).cpu().double().numpy()
        shares, notes = empirical(probabilities, inputs.train.labels, len(inputs.classes))
    network = with_class_map(source_network, len(source.classes), len(inputs.classes)).to(inputs.device)
    class_map = network.get_submodule("head.1")
    if not isinstance(class_map, ClassMap):
        raise TypeError("head.1 is no class map")
    class_map.shares.copy_(torch.from_numpy(shares))
    freeze([network])
    network.eval()

    def predict(samples: Samples) -> Tensor:
        with torch.no_grad():
            target: Tensor = class_map(_source_logits(inputs, source_network, samples))
        return target

    return StrategyResult(
        network,
        _contract(inputs),
        source.small,
        source.head,
        predict,
        source_head=source.source_head,
        mapped_from=len(source.classes),
        architecture=source.architecture,
        notes=notes,
    )


def _describe(shares: NDArray[np.float64], target: list[str]) -> list[str]:
    missing = [name for name, row in zip(target, shares, strict=True) if not row.any()]
    notes = [f"{len(target) - len(missing)} of {len(target)} classes matched by name"]
    if missing:
        notes.append(f"never predicted, because no source class has the name: {', '.join(missing)}")
    return notes


def empirical(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], list[str]]:
    """Estimates p(y|z) from source probabilities and target labels as in LEEP (Nguyen et al. 2020).

    Args:
        probabilities: (N, K_source), rows sum to 1.
        labels: (N,), class indices of the target's training images.
        classes: K_target, the number of target classes.

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


def _source_logits(inputs: StrategyInput, network: Network, samples: Samples) -> Tensor:
    return inputs.start.frozen_outputs("logits", network, samples, _contract(inputs), inputs.device, inputs.progress)


def _contract(inputs: StrategyInput) -> InputContract:
    """Returns the source's input contract at its own resolution, regardless of the configured one."""
    return for_images(inputs.start.manifest.input, inputs.image_shape)
