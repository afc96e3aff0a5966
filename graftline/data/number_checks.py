"""What the numbers of a regression say of raw data: warnings, and their spread for the data page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.labels import NUMERIC

FAR = 10
"""Deviations from the mean, from which on a number is named."""
_BARS = 40
_OUTPUTS = 20  # drawn


@dataclass(frozen=True)
class Spread:
    """How one output's values lie over the training split, as text for people."""

    output: str
    least: str
    median: str
    most: str
    mean: str
    std: str
    path: str
    """A histogram as an SVG path in a box of 100 x 100."""


def warnings(
    samples: Sequence[StoredSample], outputs: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> list[str]:
    """Says what looks wrong with the numbers, one sentence an output.

    Args:
        samples: All that are stored.
        outputs: D names.
        mean: (D,), over the training split.
        std: (D,), above 0.

    Returns:
        Sentences without a capital or a full stop; none where nothing looks wrong.
    """
    values = NUMERIC.to_array([sample.label for sample in samples], outputs)
    apart = np.abs(values - np.array(mean)) / np.array(std)
    found = []
    for column, name in enumerate(outputs):
        if count := int((apart[:, column] > FAR).sum()):
            row = int(apart[:, column].argmax())
            found.append(
                f"{name!r} of {count:,} {'image' if count == 1 else 'images'} lies more than {FAR} deviations "
                f"from the mean of {mean[column]:.4g}, such as {values[row, column]:.6g} of "
                f"{samples[row].key!r}; where that stands for a missing value, take the row out, else "
                "finetune.loss: huber may help"
            )
    return found


def spreads(manifest: DatasetManifest, samples: Sequence[StoredSample]) -> list[Spread]:
    """Returns the spread of the first outputs over the training split."""
    values = NUMERIC.to_array([sample.label for sample in samples if sample.split == "train"], manifest.classes)
    found = []
    for column, output in enumerate(manifest.classes[:_OUTPUTS]):
        own = values[:, column].astype(np.float64)
        counts = np.histogram(own, min(_BARS, max(1, len(own) // 4)))[0]
        heights = 100 - 100 * counts / counts.max()
        path = (
            "M0 100"
            + "".join(
                f"V{height:.4g}H{100 * number / len(counts):.4g}" for number, height in enumerate(heights, start=1)
            )
            + "V100Z"
        )
        least, median, most = (f"{value:.4g}" for value in np.quantile(own, (0, 0.5, 1)))
        found.append(
            Spread(
                output,
                least,
                median,
                most,
                f"{manifest.target_mean[column]:.4g}",
                f"{manifest.target_std[column]:.4g}",
                path,
            )
        )
    return found


def rows_by_value(manifest: DatasetManifest, samples: Sequence[StoredSample], most: int) -> list[int]:
    """Returns rows of training images, in equal steps from the smallest to the largest value of the first output."""
    rows = [row for row, sample in enumerate(samples) if sample.split == "train"]
    values = NUMERIC.to_array([samples[row].label for row in rows], manifest.classes)[:, 0]
    order = np.argsort(values, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(most, len(order))).round().astype(int)
    return [rows[place] for place in order[steps]]
