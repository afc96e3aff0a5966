"""Matching of source classes to target classes by name rather than by index."""

import re

import numpy as np
from numpy.typing import NDArray


def by_name(source: list[str], target: list[str]) -> NDArray[np.float64]:
    """Matches classes by name, regardless of case and whitespace.

    A source name may list synonyms, as in `ant, emmet, pismire`.

    Returns:
        (K_target, K_source) of 0 and 1; a row is all 0 if no source class matches.
    """
    meanings = [{_plain(part) for part in [name, *name.split(",")]} for name in source]
    return np.array([[float(_plain(wanted) in names) for names in meanings] for wanted in target])


def partners(source: list[str], target: list[str]) -> list[int | None]:
    """Returns the index of the source class that matches each target class, or None without a unique match.

    A match of the full name takes precedence over a synonym. Matches that are not one to one are ambiguous and
    discarded: two source classes called `crane`, or target classes `ant` and `emmet` for the source's `ant, emmet`.
    """
    if not source:
        return [None] * len(target)
    whole = np.array([[float(_plain(wanted) == _plain(name)) for name in source] for wanted in target])
    others = by_name(source, target)
    others[whole.any(axis=1)] = 0
    others[:, whole.any(axis=0)] = 0
    matches = whole + others
    alone = (matches.sum(axis=1) == 1) & (matches[:, matches.argmax(axis=1)].sum(axis=0) == 1)
    return [int(place) if sure else None for place, sure in zip(matches.argmax(axis=1), alone, strict=True)]


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name).strip().casefold()
