"""What every format gives: classes, and samples that are decoded only when they are asked for."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from graftline.dataset import Dropped, SplitName


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image, not read yet."""

    key: str
    """Where it comes from, for people: `train/ants/7.jpg`, `train-images-idx3-ubyte.gz#7`."""
    label: str
    """Its class."""
    split: SplitName | None
    """The split that the data gives it, None where the data gives none."""
    load: Callable[[], BinaryIO | NDArray[np.uint8]]
    """Opens an encoded image file, or gives the pixels, (C, H, W) uint8. Called from several threads."""


@dataclass(frozen=True)
class Raw:
    """Raw data, opened."""

    classes: list[str]
    """In the order of their indices; a class may have no sample, which is refused later, by name."""
    samples: list[Sample]
    faults: list[Dropped] = field(default_factory=list)
    """What cannot become a sample, known without decoding it."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the manifest should know."""


@dataclass(frozen=True)
class Format:
    """A way in which raw data lie on disk: one line of the table `FORMATS`."""

    name: str
    what: str
    """One line for `graftline formats`."""
    found: Callable[[Path], bool]
    """Whether the content at a place looks like this format; cheap, and never raises for strange content."""
    read: Callable[[Path], AbstractContextManager[Raw]]
    """Opens a place; samples may be loaded until the context ends. Raises RefusedError."""
