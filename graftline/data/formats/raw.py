"""What every format gives: classes, and samples that are decoded only when they are asked for."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftline.config import DEFAULT_TASK
from graftline.data.dataset import Dropped, SplitName
from graftline.data.formats.location import DataLocation


@dataclass(frozen=True, slots=True)
class RawSample:
    """One image, not read yet."""

    key: str
    """Where it comes from, for people, no two alike: `train/ants/7.jpg`, `train-images-idx3-ubyte.gz#7`."""
    label: str
    """Its class, or its label's text as `graftline.data.labels` writes it; empty where there are no labels."""
    split: SplitName | None
    """The split that the data give it, None where the data give none."""
    load: Callable[[], BinaryIO | NDArray[np.uint8]]
    """Opens an encoded image file, or gives the pixels, (C, H, W) uint8. Called from several threads."""
    group: str | None = None
    """What must not be split over training and test: a patient, a camera, a video."""


def _here(samples: list[RawSample]) -> None:
    """Fetches nothing: all is here."""


@dataclass(frozen=True)
class RawDataset:
    """Raw data, opened."""

    classes: list[str]
    """In the order of their indices; a class may have no sample, which is refused later, by name. Empty: no labels. For
    regression the names of the outputs, for multilabel those of the labels."""
    samples: list[RawSample]
    faults: list[Dropped] = field(default_factory=list)
    """What cannot become a sample, known without decoding it."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the manifest should know."""
    warnings: list[str] = field(default_factory=list)
    """What may well be wrong: read in another way than meant."""
    fetch: Callable[[list[RawSample]], None] = _here
    """Brings the files of these samples here in one go, before their `load` is called. Raises RefusedError."""
    task: str = DEFAULT_TASK
    """What the samples' labels are: most formats hold classes alone."""


@dataclass(frozen=True)
class Format:
    """A way in which raw data lie on disk: one line of the table `FORMATS`."""

    name: str
    what: str
    """One line for `graftline formats`."""
    found: Callable[[DataLocation], bool]
    """Whether the content at a place looks like this format; cheap, and never raises for strange content."""
    read: Callable[[DataLocation], AbstractContextManager[RawDataset]]
    """Opens a place; samples may be loaded until the context ends. Raises RefusedError."""
    names: Callable[[DataLocation], list[str]] | None = None
    """For tables: the files and gs:// URIs that rows name (relative ones as local paths or URIs beside the table), so
    that the fingerprint covers them."""
