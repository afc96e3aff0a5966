"""Warnings about the numbers of a regression task."""

from collections.abc import Sequence

import numpy as np

from graftline.data.dataset import StoredSample
from graftline.data.labels import NUMERIC

OUTLIER_STDS = 10
"""Numbers more than this many standard deviations from the mean are reported."""


def find_problems(
    samples: Sequence[StoredSample], outputs: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> list[str]:
    """Returns a warning for each output with outliers.

    Args:
        samples: All stored samples.
        outputs: D names.
        mean: (D,), over the training split.
        std: (D,), greater than 0.

    Returns:
        Sentences without a capital letter or a period.
    """
    values = NUMERIC.to_array([sample.label for sample in samples], outputs)
    distance = np.abs(values - np.array(mean)) / np.array(std)
    problems = []
    for column, name in enumerate(outputs):
        if count := int((distance[:, column] > OUTLIER_STDS).sum()):
            index = int(distance[:, column].argmax())
            problems.append(
                f"{name!r} of {count:,} {'image' if count == 1 else 'images'} is more than {OUTLIER_STDS} standard "
                f"deviations from the mean of {mean[column]:.4g}, such as {values[index, column]:.6g} for "
                f"{samples[index].key!r}; if it encodes a missing value, remove the row, otherwise "
                "finetune.loss: huber may help"
            )
    return problems
