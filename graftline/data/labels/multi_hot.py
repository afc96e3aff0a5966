"""Labels that are sets of names, of which a sample may have any number."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graftline.data.labels.label_type import Labels, LabelType
from graftline.data.labels.text import names_of, text_of_names
from graftline.runtime.errors import RefusedError

if TYPE_CHECKING:
    from graftline.data.formats.raw import RawDataset


class MultiHot(LabelType):
    """Any number of labels per sample. The text is the JSON of their names, the array float32 (N, K) of 0 and 1."""

    is_multi_hot = True

    def to_array(self, texts: Sequence[str], classes: Sequence[str]) -> Labels:
        """Returns 1 for each name in a label, else 0."""
        index = {name: position for position, name in enumerate(classes)}
        columns = {text: [index[name] for name in names_of(text)] for text in set(texts)}
        array = np.zeros((len(texts), len(classes)), np.float32)
        for row, text in enumerate(texts):
            array[row, columns[text]] = 1
        return array

    def find_fault(self, labels: NDArray[Any], classes: Sequence[str]) -> str | None:
        """Describes values other than 0 and 1."""
        return None if bool(np.isin(labels, (0, 1)).all()) else "values other than 0 and 1"

    def names_in(self, text: str) -> Sequence[str]:
        """Returns the names in the label."""
        return names_of(text)

    def restrict(self, text: str, classes: set[str]) -> str | None:
        """Returns the label with only the given names; no sample is dropped."""
        return text_of_names(classes.intersection(names_of(text)))

    def check_raw(self, raw: "RawDataset", location: str) -> None:
        """Refuses fewer than two labels, and a label of fewer than two images."""
        if len(raw.classes) < 2:
            raise RefusedError(
                f"{location}: found the labels {raw.classes}; multilabel needs at least two; for a single yes/no "
                "label use `task: classification` with two classes"
            )
        count: Counter[str] = Counter()
        for text, number in Counter(sample.label for sample in raw.samples).items():
            count.update(dict.fromkeys(names_of(text), number))
        if few := [label for label in raw.classes if count[label] < 2]:
            raise RefusedError(
                f"{location}: fewer than two images have the label {', '.join(map(repr, few[:10]))}"
                f"{', ...' if len(few) > 10 else ''}; training and test need at least two per label; add "
                "images, or list only the other labels under `classes:`"
            )
