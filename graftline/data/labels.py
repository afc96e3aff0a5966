"""Labels as text and as arrays. The text is what sample lines, splits and the content digest see of a label.

classification: the class's name. regression: the canonical JSON of its numbers, each the shortest that gives its
32 bits back. multilabel: the canonical JSON of the sorted names that hold.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graftline.runtime.manifest import canonical_json

Labels = NDArray[np.int64] | NDArray[np.float32]


def text_of_numbers(numbers: Iterable[float]) -> str:
    """Returns the text of a regression label.

    Args:
        numbers: Finite in 32 bits.
    """
    return canonical_json([float(str(np.float32(number) + np.float32(0))) for number in numbers])  # -0 becomes 0


def text_of_names(names: Iterable[str]) -> str:
    """Returns the text of a multilabel label."""
    return canonical_json(sorted(set(names)))


def numbers_of(text: str) -> list[float]:
    """Returns the numbers of a regression label's text."""
    numbers: list[float] = json.loads(text)
    return numbers


def names_of(text: str) -> list[str]:
    """Returns the names of a multilabel label's text."""
    names: list[str] = json.loads(text)
    return names


def to_array(texts: Sequence[str], task: str, classes: Sequence[str]) -> Labels:
    """Turns N labels into an array.

    Args:
        texts: N of them.
        task: classification, regression, multilabel or unlabelled.
        classes: Names of classes, outputs or labels.

    Returns:
        int64 (N,), -1 for a name that is none of the classes; for regression float32 (N, D), in the labels' own units;
        for multilabel float32 (N, K) of 0 and 1.
    """
    if task == "regression":
        return np.array([numbers_of(text) for text in texts], np.float32).reshape(len(texts), len(classes))
    index = {name: position for position, name in enumerate(classes)}
    if task != "multilabel":
        return np.array([index.get(text, -1) for text in texts], np.int64)
    found = np.zeros((len(texts), len(classes)), np.float32)
    places = {text: [index[name] for name in names_of(text)] for text in set(texts)}
    for row, text in enumerate(texts):
        found[row, places[text]] = 1
    return found


def wrong_with(labels: NDArray[Any], task: str, classes: Sequence[str]) -> str | None:
    """Says what of an array cannot be labels of a task, None when nothing."""
    if task == "unlabelled":
        return None if bool((labels == -1).all()) else "labels outside of the manifest's 0 classes"
    if task == "regression":
        return None if bool(np.isfinite(labels).all()) else "numbers that are not finite"
    if task == "multilabel":
        return None if bool(np.isin(labels, (0, 1)).all()) else "values other than 0 and 1"
    fine = not len(labels) or bool(labels.min() >= 0 and labels.max() < len(classes))
    return None if fine else f"labels outside of the manifest's {len(classes)} classes"
