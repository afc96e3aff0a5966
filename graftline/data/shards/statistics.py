"""Statistics of a dataset: channels, classes, and numeric outputs."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from graftline.data.dataset import SPLIT_NAMES, SplitName, StoredSample
from graftline.data.labels import LABEL_TYPES
from graftline.data.shards.decoded_shard import SampleRecord
from graftline.runtime.errors import RefusedError


def channel_statistics(records: Sequence[SampleRecord], shape: tuple[int, int, int]) -> tuple[list[float], list[float]]:
    """Returns the mean and standard deviation of each channel, in 0..1, computed in integers up to the last division.

    Args:
        records: Records of the training images.
        shape: (C, H, W) of the dataset; a grayscale image counts in each channel.
    """
    channels = shape[0]
    totals = [0] * (2 * channels)
    for record in records:
        own_channels = len(record.sums) // 2
        for channel in range(channels):
            totals[channel] += record.sums[channel % own_channels]
            totals[channels + channel] += record.sums[own_channels + channel % own_channels]
    count = len(records) * shape[1] * shape[2]
    mean = [total / count for total in totals[:channels]]
    variance = [(totals[channels + channel] * count - totals[channel] ** 2) / count**2 for channel in range(channels)]
    return [value / 255 for value in mean], [value**0.5 / 255 for value in variance]


def class_counts(samples: Sequence[StoredSample], task: str, classes: Sequence[str]) -> dict[str, dict[SplitName, int]]:
    """Returns the number of images of each class, or with each label, in each split."""
    counts: Counter[tuple[str, SplitName]] = Counter()
    for (label, split), number in Counter((sample.label, sample.split) for sample in samples).items():
        for name in LABEL_TYPES[task].names_in(label):
            counts[name, split] += number
    return {label: {name: counts[label, name] for name in SPLIT_NAMES} for label in classes}


def output_statistics(
    labels: Sequence[str], task: str, outputs: Sequence[str], location: str
) -> tuple[list[float], list[float]]:
    """Returns the mean and standard deviation of each numeric output; empty lists for other tasks.

    Args:
        labels: Labels of the training images.
        task: Task of the labels.
        outputs: Names of the outputs.
        location: Location of the data, for messages.

    Raises:
        RefusedError: An output is constant.
    """
    if not LABEL_TYPES[task].is_numeric or not outputs:
        return [], []
    values = LABEL_TYPES[task].to_array(labels, outputs).astype(np.float64)
    mean, std = values.mean(0), values.std(0)
    if constant := [name for name, own, at in zip(outputs, std, mean, strict=True) if own <= 1e-7 * abs(at)]:
        raise RefusedError(
            f"{location}: {', '.join(map(repr, constant))} is the same in all {len(labels):,} training images, so "
            "there is nothing to learn; remove it from columns.labels"
        )
    return mean.tolist(), std.tolist()
