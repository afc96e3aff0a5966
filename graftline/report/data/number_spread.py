"""The distribution of a regression task's numbers, as the data page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graftline.data.dataset import DatasetManifest, StoredSample
from graftline.data.labels import NUMERIC

_BINS = 40
_OUTPUTS = 20  # histograms at most


@dataclass(frozen=True)
class NumberSpread:
    """Distribution of one output over the training split, as text."""

    output: str
    minimum: str
    median: str
    maximum: str
    mean: str
    std: str
    path: str
    """Histogram as an SVG path in a box of 100 x 100."""


def number_spreads(manifest: DatasetManifest, samples: Sequence[StoredSample]) -> list[NumberSpread]:
    """Returns the distribution of the first outputs over the training split."""
    values = NUMERIC.to_array([sample.label for sample in samples if sample.split == "train"], manifest.classes)
    spreads = []
    for column, output in enumerate(manifest.classes[:_OUTPUTS]):
        numbers = values[:, column].astype(np.float64)
        minimum, median, maximum = (f"{value:.4g}" for value in np.quantile(numbers, (0, 0.5, 1)))
        mean, std = f"{manifest.target_mean[column]:.4g}", f"{manifest.target_std[column]:.4g}"
        counts = np.histogram(numbers, min(_BINS, max(1, len(numbers) // 4)))[0]
        path = step_path((100 - 100 * counts / counts.max()).tolist())
        spreads.append(NumberSpread(output, minimum, median, maximum, mean, std, path))
    return spreads


def step_path(heights: Sequence[float]) -> str:
    """Returns an SVG path in a box of 100 x 100: steps of equal width at the given distances from the top."""
    steps = (f"V{height:.4g}H{100 * step / len(heights):.4g}" for step, height in enumerate(heights, start=1))
    return "M0 100" + "".join(steps) + "V100Z"


def indices_by_value(manifest: DatasetManifest, samples: Sequence[StoredSample], maximum: int) -> list[int]:
    """Returns up to `maximum` training images, evenly spaced in the order of the first output's values."""
    indices = [index for index, sample in enumerate(samples) if sample.split == "train"]
    values = NUMERIC.to_array([samples[index].label for index in indices], manifest.classes)[:, 0]
    order = np.argsort(values, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(maximum, len(order))).round().astype(int)
    return [indices[position] for position in order[steps]]
