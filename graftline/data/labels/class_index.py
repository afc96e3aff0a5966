"""Labels that are one class each; the array holds the class's index."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.labels.label_type import Labels, LabelType
from graftline.runtime.errors import RefusedError

if TYPE_CHECKING:
    from graftline.data.formats.raw import RawDataset


class ClassIndex(LabelType):
    """One class per sample. The text is the class name, the array int64 (N,), -1 for a name that is no class."""

    is_class = True

    def to_array(self, texts: Sequence[str], classes: Sequence[str]) -> Labels:
        """Returns the index of each class name."""
        index = {name: position for position, name in enumerate(classes)}
        return np.array([index.get(text, -1) for text in texts], np.int64)

    def find_fault(self, labels: NDArray[Any], classes: Sequence[str]) -> str | None:
        """Describes indices outside of the classes."""
        is_valid = not len(labels) or bool(labels.min() >= 0 and labels.max() < len(classes))
        return None if is_valid else f"labels outside of the manifest's {len(classes)} classes"

    def names_in(self, text: str) -> Sequence[str]:
        """Returns the class name alone."""
        return (text,)

    def check_raw(self, raw: "RawDataset", location: str) -> None:
        """Refuses fewer than two classes, a class of fewer than two images, and splits whose classes differ."""
        if len(raw.classes) < 2:
            raise RefusedError(f"{location}: found the classes {raw.classes}; classification needs at least two")
        count: dict[str, int] = dict.fromkeys(raw.classes, 0)
        of_split: dict[str, set[str]] = defaultdict(set)
        for sample in raw.samples:
            count[sample.label] += 1
            if sample.split:
                of_split[sample.split].add(sample.label)
        if empty := [label for label, number in count.items() if number == 0]:
            raise RefusedError(
                f"{location}: no images in class {', '.join(map(repr, empty))}; add images, remove the folder, or "
                "list only the other classes under `classes:`"
            )
        for split, labels in of_split.items():
            train = of_split.get("train", labels)
            if labels != train:
                raise RefusedError(
                    f"{location}: train and {split} have different classes: train has {sorted(train)}, {split} "
                    f"has {sorted(labels)}; make them equal, or list the common classes under `classes:`"
                )
        if single := [label for label, number in count.items() if number < 2]:
            raise RefusedError(
                f"{location}: only one image in class {', '.join(map(repr, single))}; training and test need at "
                "least two per class; add images, or list only the other classes under `classes:`"
            )


class Unlabeled(ClassIndex):
    """No labels: the text is empty, the array holds -1."""

    def find_fault(self, labels: NDArray[Any], classes: Sequence[str]) -> str | None:
        """Describes indices outside of the classes."""
        return None if bool((labels == -1).all()) else "labels outside of the manifest's 0 classes"
