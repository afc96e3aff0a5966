"""Meaning of a network's outputs: their task and scale. No torch."""

from dataclasses import dataclass

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import DatasetManifest
from graftline.data.labels import LABEL_TYPES, UNLABELED


@dataclass(frozen=True)
class Objective:
    """The task of the outputs, and for numbers their mean and scale."""

    task: str = DEFAULT_TASK
    mean: tuple[float, ...] = ()
    """Mean of each output's labels over the training split, in their own units; empty where labels are no numbers."""
    deviation: tuple[float, ...] = ()
    """Standard deviations, above 0. Residuals are divided by them, so that all units weigh the same."""

    @classmethod
    def of(cls, data: DatasetManifest) -> "Objective":
        """Returns the objective of a network for these data, with numbers in 32 bits as a network stores them."""
        task = DEFAULT_TASK if data.task == UNLABELED else data.task
        return cls(task, _in_32_bits(data.target_mean), _in_32_bits(data.target_std))

    @classmethod
    def unfilled(cls, task: str, outputs: int) -> "Objective":
        """Returns a placeholder until the network's weights are read."""
        return cls(task, (0.0,) * outputs, (1.0,) * outputs) if LABEL_TYPES[task].is_numeric else cls(task)


def _in_32_bits(numbers: list[float]) -> tuple[float, ...]:
    rounded: list[float] = np.asarray(numbers, np.float32).tolist()
    return tuple(rounded)
