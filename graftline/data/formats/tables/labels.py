"""A row's label where it is no single class: numbers, or names that hold; what is neither is that row's fault."""

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from graftline.data.formats.naming.record_fields import UnfitError, bad_label, brief
from graftline.data.labels import LABEL_TYPES
from graftline.data.labels.text import text_of_names, text_of_numbers

_BETWEEN = re.compile("[|;]")
_FLAGS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
_LARGEST = float(np.finfo(np.float32).max)


def label_text(task: str, columns: Sequence[str], value: object) -> str:
    """Reads a label.

    Args:
        task: regression or multilabel.
        columns: That the label is read from.
        value: The one column's; a tuple of all where there are several.

    Returns:
        Its text, as `graftline.data.labels.text` writes it.

    Raises:
        UnfitError: No number, no 0 or 1, no list of names; the message says what was found.
    """
    values = value if isinstance(value, tuple) else (value,)
    if LABEL_TYPES[task].is_numeric:
        return text_of_numbers([_number(name, each) for name, each in zip(columns, values, strict=True)])
    if isinstance(value, tuple):
        return text_of_names([name for name, each in zip(columns, values, strict=True) if _flag(name, each)])
    return text_of_names(_names(columns[0], value))


def _number(column: str, value: object) -> float:
    try:
        number = (
            math.nan
            if isinstance(value, bool) or (isinstance(value, str) and "_" in value)
            else float(value)
            if isinstance(value, int | float | str | Decimal)
            else math.nan
        )
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UnfitError(f"its {column!r} is {_told(value)}, expected a finite number")
    if abs(number) > _LARGEST:
        raise UnfitError(f"its {column!r} is {_told(value)}, too large for 32 bits; give it in a larger unit")
    return number


def _flag(column: str, value: object) -> bool:
    text = str(value).strip().lower() if isinstance(value, bool | int | float | str) else ""
    if text not in _FLAGS:
        raise UnfitError(f"its {column!r} is {_told(value)}, expected 0 or 1")
    return _FLAGS[text]


def _names(column: str, value: object) -> list[str]:
    found: object = value
    if isinstance(value, str) and value.strip():
        found = (
            _json(value) if value.lstrip().startswith("[") else [part for part in _BETWEEN.split(value) if part.strip()]
        )
    elif isinstance(value, int) and not isinstance(value, bool):
        found = [value]
    if not isinstance(found, list):
        raise UnfitError(
            f"its {column!r} is {_told(value)}, expected names between | or ;, or a JSON list of them, [] "
            "where none holds"
        )
    names = []
    for each in found:
        name = str(each).strip() if isinstance(each, str | int) and not isinstance(each, bool) else ""
        if why := bad_label(name):
            raise UnfitError(f"its {column!r} names {brief(each)}, which {why}")
        names.append(name)
    return names


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _told(value: object) -> str:
    empty = value is None or (isinstance(value, str) and not value.strip())
    return "empty" if empty else brief(value)
