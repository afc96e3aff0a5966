"""The sizes of classes, as the data page shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graftline.data.class_warnings import MIN_IMAGES
from graftline.data.dataset import SPLIT_NAMES, DatasetManifest, SplitName
from graftline.report import wording
from graftline.report.data.number_spread import step_path

N_LARGEST = 30
"""Number of the largest classes that are shown if there are many."""
_N_SMALLEST = 10
_CURVE_STEPS = 200


@dataclass(frozen=True)
class ClassBar:
    """A class in the bar chart."""

    label: str
    counts: dict[SplitName, int]
    shares: dict[SplitName, float]
    """Percent of the chart's width."""
    is_small: bool
    """Whether the class has fewer than `MIN_IMAGES` training images."""


@dataclass(frozen=True)
class ClassBalance:
    """Numbers of images of the classes."""

    bars: list[ClassBar]
    """Bars of the largest and the smallest classes, in decreasing size."""
    n_omitted: int
    """Number of classes between the largest and the smallest that have no bar."""
    sizes: list[int]
    """Numbers of training images of all classes, decreasing."""
    n_small: int
    """Number of classes with fewer than `MIN_IMAGES` training images."""
    curve: str
    """All sizes as an SVG path in a box of 100 x 100; empty if all classes have a bar."""
    noun: str = "class"

    @property
    def summary(self) -> str:
        """A sentence that compares the largest with the smallest class."""
        most, least = self.sizes[0], self.sizes[-1]
        if most == least:
            return f"Every {self.noun} has {wording.plural(most, 'training image')}."
        ratio = f" ({most / least:,.{int(most < 10 * least)}f} to 1)" if least else ""
        return f"The largest {self.noun} has {most:,} training images, the smallest {least:,}{ratio}."


def class_balance(manifest: DatasetManifest, noun: str) -> ClassBalance:
    """Returns the sizes of a dataset's classes.

    Args:
        manifest: Manifest of a dataset with classes.
        noun: What one of the classes is called.
    """
    counts = {label: {**dict.fromkeys(SPLIT_NAMES, 0), **manifest.counts.get(label, {})} for label in manifest.classes}
    order = sorted(manifest.classes, key=lambda label: -counts[label]["train"])
    has_all = len(order) <= N_LARGEST + _N_SMALLEST
    drawn = order if has_all else [*order[:N_LARGEST], *order[-_N_SMALLEST:]]
    widest = max(1, *(sum(counts[label].values()) for label in drawn))
    sizes = [counts[label]["train"] for label in order]
    return ClassBalance(
        [_bar(label, counts[label], widest) for label in drawn],
        len(order) - len(drawn),
        sizes,
        sum(size < MIN_IMAGES for size in sizes),
        "" if has_all else _curve(sizes),
        noun,
    )


def _bar(label: str, counts: Mapping[SplitName, int], widest: int) -> ClassBar:
    shares = {split: round(100 * number / widest, 2) for split, number in counts.items()}
    return ClassBar(label, dict(counts), shares, counts["train"] < MIN_IMAGES)


def _curve(sizes: Sequence[int]) -> str:
    steps = min(_CURVE_STEPS, len(sizes))
    return step_path([100 - 100 * sizes[step * len(sizes) // steps] / max(1, sizes[0]) for step in range(steps)])
