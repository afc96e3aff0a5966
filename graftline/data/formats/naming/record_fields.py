"""What a JSON record from outside says of one image: texts that may name a class, its split, its group."""

import re
from collections.abc import Mapping
from typing import Any

from graftline.data.dataset import SplitName
from graftline.data.formats.naming.tree import SPLITS

LONGEST = 256
"""Characters of a class's name."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SPLIT_KEYS = ("split", "set", "subset", "partition")
_GROUP_KEYS = ("group", "group_id")


class UnfitError(Exception):
    """An image that becomes no sample; the message says why."""


def bad_label(text: str) -> str | None:
    """Says what is wrong with a class's name, None when nothing is."""
    if not text.strip():
        return "is empty"
    if len(text) > LONGEST:
        return f"has {len(text):,} characters, a class's name has at most {LONGEST}"
    if _UNFIT.search(text):
        return "has a line break or another control character"
    return None


def shown(name: str) -> str:
    """A name as text that every file and terminal takes, whatever bytes it was made of."""
    return name.encode(errors="backslashreplace").decode()


def brief(value: object) -> str:
    """A value of a JSON for a message, however long or deep it is."""
    return f"{value!r:.60}" if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"


def split_of_record(record: Mapping[str, Any], wanted: str | None) -> SplitName | None:
    """Reads the split; under the usual keys other words may stand, a key that was asked for must hold a split.

    Args:
        record: Of one image.
        wanted: The key; None looks for the usual ones.

    Raises:
        UnfitError: No split under the key that was asked for.
    """
    for key in _SPLIT_KEYS if wanted is None else (wanted,):
        value = record.get(key)
        if isinstance(value, str) and value.lower() in SPLITS:
            return SPLITS[value.lower()]
        if wanted is not None:
            raise UnfitError(f"its {key!r} is {brief(value)}, expected train, val or test")
    return None


def group_of_record(record: Mapping[str, Any], wanted: str | None) -> str | None:
    """Reads what must not be split over training and test.

    Args:
        record: Of one image.
        wanted: The key; None looks for the usual ones.

    Raises:
        UnfitError: Nothing under the key that was asked for.
    """
    for key in _GROUP_KEYS if wanted is None else (wanted,):
        value = record.get(key)
        if isinstance(value, str | int) and not bad_label(str(value)):
            return str(value)
        if wanted is not None:
            raise UnfitError(f"its {key!r} is {brief(value)}, expected a short text or a number")
    return None
