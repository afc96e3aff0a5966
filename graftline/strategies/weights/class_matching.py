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


def partners(source: list[str], target: list[str]) -> list[int | None]:
    """Returns the one source class that each target class shares its name with, None where there is none.

    A name that is equal as a whole goes before a synonym. Where a match is not one to one (two source classes called
    `crane`; `ant` and `emmet` for `ant, emmet`), there is none: nobody could say which one is meant.
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
