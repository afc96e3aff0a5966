"""Values of JSON records about one image: label text, split and group."""

import re
from collections.abc import Mapping
from typing import Any

from graftline.data.dataset import SplitName
from graftline.data.formats.naming.split_names import SPLITS

MAX_LABEL_LENGTH = 256
"""Maximum number of characters of a class name."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SPLIT_KEYS = ("split", "set", "subset", "partition")
_GROUP_KEYS = ("group", "group_id")


class InvalidSampleError(Exception):
    """An image cannot become a sample; the message gives the reason."""


def find_label_problem(text: str) -> str | None:
    """Returns what is wrong with a class name, or None if it is valid."""
    if not text.strip():
        return "is empty"
    if len(text) > MAX_LABEL_LENGTH:
        return f"has {len(text):,} characters; a class name may have at most {MAX_LABEL_LENGTH}"
    if _CONTROL.search(text):
        return "has a line break or another control character"
    return None


def escape_name(name: str) -> str:
    """Returns a name as valid Unicode, with bytes that are not UTF-8 as backslash escapes."""
    return name.encode(errors="backslashreplace").decode()


def describe_value(value: object) -> str:
    """Returns a JSON value as short text for messages, however long or deeply nested it is."""
    return f"{value!r:.60}" if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"


def read_split(record: Mapping[str, Any], key: str | None) -> SplitName | None:
    """Returns the split of an image's record, or None.

    Args:
        record: JSON record of one image.
        key: Key that the config names. None tries the usual keys and ignores values that are not splits.

    Raises:
        InvalidSampleError: The value of `key` is not a split.
    """
    for candidate in _SPLIT_KEYS if key is None else (key,):
        value = record.get(candidate)
        if isinstance(value, str) and value.lower() in SPLITS:
            return SPLITS[value.lower()]
        if key is not None:
            raise InvalidSampleError(f"its {candidate!r} is {describe_value(value)}, expected train, val or test")
    return None


def read_group(record: Mapping[str, Any], key: str | None) -> str | None:
    """Returns the group of an image's record, or None.

    Args:
        record: JSON record of one image.
        key: Key that the config names. None tries the usual keys.

    Raises:
        InvalidSampleError: The value of `key` is not a short text or a number.
    """
    for candidate in _GROUP_KEYS if key is None else (key,):
        value = record.get(candidate)
        if isinstance(value, str | int) and not find_label_problem(str(value)):
            return str(value)
        if key is not None:
            raise InvalidSampleError(f"its {candidate!r} is {describe_value(value)}, expected a short text or a number")
    return None
