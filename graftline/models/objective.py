"""What a network's outputs mean, which decides how they are trained and scored. No torch."""

from dataclasses import dataclass

import numpy as np

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import DatasetManifest


@dataclass(frozen=True)
class Objective:
    """A task, and for regression the scale of its outputs."""

    task: str = DEFAULT_TASK
    mean: tuple[float, ...] = ()
    """Of each of a regression's outputs over the training split, in its own unit."""
    deviation: tuple[float, ...] = ()
    """Likewise, above 0: residuals are divided by it, so that outputs of different units count alike."""

    @classmethod
    def of(cls, data: DatasetManifest) -> "Objective":
        """Returns what a network for these data is for; the numbers as a network holds them, in 32 bits."""
        if data.task == "regression":
            return cls("regression", _in_32_bits(data.target_mean), _in_32_bits(data.target_std))
        return cls("multilabel" if data.task == "multilabel" else "classification")

    @classmethod
    def unfilled(cls, task: str, outputs: int) -> "Objective":
        """Returns one that stands in until a network's own numbers are read."""
        return cls(task, (0.0,) * outputs, (1.0,) * outputs) if task == "regression" else cls(task)


def _in_32_bits(numbers: list[float]) -> tuple[float, ...]:
    found: list[float] = np.asarray(numbers, np.float32).tolist()
    return tuple(found)
