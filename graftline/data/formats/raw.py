"""Records that describe a format and the raw dataset that it opens; images are decoded only on request."""

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
    """One image that has not been read yet."""

    key: str
    """Unique, readable name of the image's origin: `train/ants/7.jpg`, `train-images-idx3-ubyte.gz#7`."""
    label: str
    """Class name, or the label as text in the form of `graftline.data.labels.text`; empty for unlabeled data."""
    split: SplitName | None
    """Split that the data assign to the sample, or None."""
    load: Callable[[], BinaryIO | NDArray[np.uint8]]
    """Opens the encoded image file or returns the pixels, (C, H, W) uint8. Thread-safe."""
    group: str | None = None
    """Samples of one group (a patient, a camera, a video) are never divided between training and test."""


def _fetch_nothing(samples: list[RawSample]) -> None:
    """Does nothing: local data need no download."""


@dataclass(frozen=True)
class RawDataset:
    """Raw data opened by a format."""

    classes: list[str]
    """Class names in index order, empty for unlabeled data. For regression the output names, for multilabel the label
    names. A class without samples is allowed here and refused later."""
    samples: list[RawSample]
    dropped: list[Dropped] = field(default_factory=list)
    """Files and rows that cannot become a sample, detected without decoding."""
    notes: list[str] = field(default_factory=list)
    """Remarks for the manifest."""
    warnings: list[str] = field(default_factory=list)
    """Likely mistakes, such as a table that was ignored."""
    fetch: Callable[[list[RawSample]], None] = _fetch_nothing
    """Downloads the files of these samples in one batch, before their `load` is called. Raises RefusedError."""
    task: str = DEFAULT_TASK
    """Problem kind of the labels."""


@dataclass(frozen=True)
class Format:
    """Record of one format; `FORMATS` lists them all."""

    name: str
    """Value of `format` in the config."""
    summary: str
    """One line for `graftline formats`."""
    detect: Callable[[DataLocation], bool]
    """Returns whether the content of a location looks like this format. Cheap; never raises for unexpected content."""
    open: Callable[[DataLocation], AbstractContextManager[RawDataset]]
    """Opens a location. Samples can be loaded until the context exits. Raises RefusedError for what it cannot read."""
    tasks: tuple[str, ...] = (DEFAULT_TASK,)
    """Problem kinds whose labels the format can hold."""
    is_labeled: bool = True
    """Whether samples have labels. A format without labels is never detected; the config has to name it."""
    aliases: tuple[str, ...] = ()
    """Other accepted values of `format`."""
    takes_columns: bool = False
    """Whether the format reads the config's `columns`. Other formats refuse them."""
    list_external_files: Callable[[DataLocation], list[str]] | None = None
    """Returns the files and gs:// URIs that the data reference outside the location's own listing, so that the
    fingerprint covers them. None if the format has no such references."""
    reference_suffixes: tuple[str, ...] = ()
    """Lowercase name suffixes of the files that can hold such references."""
