"""Meaning of a network's outputs: task and scale. This module does not import torch."""

from dataclasses import dataclass

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import DatasetManifest
from graftline.data.labels import LABEL_TYPES, UNLABELED


@dataclass(frozen=True)
class Objective:
    """The task of the outputs, with mean and standard deviation for numeric labels."""

    task: str = DEFAULT_TASK
    mean: tuple[float, ...] = ()
    """Mean of each output's labels over the training split, in the labels' units; empty if labels are not numeric."""
    deviation: tuple[float, ...] = ()
    """Standard deviation of each output's labels, above 0, by which residuals are divided to make units comparable."""

    @classmethod
    def of(cls, data: DatasetManifest) -> "Objective":
        """Returns the objective of a network for a dataset, with numbers rounded to float32 as stored in a network."""
        task = DEFAULT_TASK if data.task == UNLABELED else data.task
        return cls(task, _in_32_bits(data.target_mean), _in_32_bits(data.target_std))

    @classmethod
    def unfilled(cls, task: str, outputs: int) -> "Objective":
        """Returns a placeholder with mean 0 and standard deviation 1, for use until weights are loaded."""
        return cls(task, (0.0,) * outputs, (1.0,) * outputs) if LABEL_TYPES[task].is_numeric else cls(task)


def _in_32_bits(numbers: list[float]) -> tuple[float, ...]:
    rounded: list[float] = np.asarray(numbers, np.float32).tolist()
    return tuple(rounded)
