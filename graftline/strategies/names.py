"""Which source class is which target class: by name, never by index."""

import re

import numpy as np
from numpy.typing import NDArray


def by_name(source: list[str], target: list[str]) -> NDArray[np.float64]:
    """Matches classes by name, case and spaces aside; a source name may list synonyms: `ant, emmet, pismire`.

    Returns:
        (K_target, K_source) of 0 and 1; all 0 where nothing matches.
    """
    meanings = [{_plain(part) for part in [name, *name.split(",")]} for name in source]
    return np.array([[float(_plain(wanted) in names) for names in meanings] for wanted in target])


def one_to_one(source: list[str], target: list[str]) -> list[int] | None:
    """Returns the source class of each target class, or None where not every one has exactly one of its own."""
    if not source:
        return None
    matches = by_name(source, target)
    if (matches.sum(axis=1) != 1).any() or (matches.sum(axis=0) > 1).any():
        return None
    return [int(place) for place in matches.argmax(axis=1)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name).strip().casefold()
