"""What data loading and splitting need to know of a type of labels; one subclass per type."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from graftline.data.formats.raw import RawDataset

Labels = NDArray[np.int64] | NDArray[np.float32]


class LabelType:
    """A type of labels. The base class holds what most types share; labels are text until `to_array`."""

    is_class = False
    """A label is exactly one class name."""
    is_numeric = False
    """A label is one or more numbers."""
    is_multi_hot = False
    """A label is a set of class names."""

    def to_array(self, texts: Sequence[str], classes: Sequence[str]) -> Labels:
        """Turns the text of N labels into an array: int64 (N,) or float32 (N, D).

        Args:
            texts: N labels.
            classes: Names of the classes or outputs, in the order of the array's indices or columns.
        """
        raise NotImplementedError

    def find_fault(self, labels: NDArray[Any], classes: Sequence[str]) -> str | None:
        """Describes what in an array cannot be a label of this type; None where all can be."""
        raise NotImplementedError

    def names_in(self, text: str) -> Sequence[str]:
        """Returns the class names in a label's text; none where labels are numbers."""
        return ()

    def restrict(self, text: str, classes: set[str]) -> str | None:
        """Returns the label with only the given classes; None where its sample is to be dropped."""
        return text if text in classes else None

    def strata(self, label_of: Mapping[str, str]) -> dict[str, str]:
        """Maps each digest to the stratum that splits are stratified by, for labels in one stratum each."""
        return dict(label_of)

    def check_raw(self, raw: "RawDataset", location: str) -> None:
        """Refuses labels that a model cannot learn from.

        Raises:
            RefusedError: Too few classes or images of a class, or nothing that varies.
        """
