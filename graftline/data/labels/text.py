"""Text form of labels with several parts, as sample lines, splits and the content digest store it.

Numbers are canonical JSON, each the shortest text that gives its 32 bits back. A set of names is canonical JSON of the
sorted names.
"""

import json
from collections.abc import Iterable

import numpy as np

from graftline.runtime.manifest import canonical_json


def text_of_numbers(numbers: Iterable[float]) -> str:
    """Returns the text of a label that consists of numbers.

    Args:
        numbers: Finite in 32 bits.
    """
    return canonical_json([float(str(np.float32(number) + np.float32(0))) for number in numbers])  # -0 becomes 0


def text_of_names(names: Iterable[str]) -> str:
    """Returns the text of a label that consists of names."""
    return canonical_json(sorted(set(names)))


def numbers_of(text: str) -> list[float]:
    """Returns the numbers in a label's text."""
    numbers: list[float] = json.loads(text)
    return numbers


def names_of(text: str) -> list[str]:
    """Returns the names in a label's text."""
    names: list[str] = json.loads(text)
    return names
