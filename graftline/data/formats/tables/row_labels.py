"""Labels of table rows for regression (numbers) and multilabel (sets of names)."""

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import numpy as np

from graftline.data.formats.naming.record_fields import InvalidSampleError, describe_value, find_label_problem
from graftline.data.labels import LABEL_TYPES
from graftline.data.labels.text import text_of_names, text_of_numbers

_SEPARATOR = re.compile("[|;]")
_FLAGS = {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}
_MAX_NUMBER = float(np.finfo(np.float32).max)


def parse_label(task: str, columns: Sequence[str], value: object) -> str:
    """Parses the label of a row.

    Args:
        task: "regression" or "multilabel".
        columns: The label columns.
        value: Value of the only label column, or a tuple of the values of several.

    Returns:
        The label as text, in the form of `graftline.data.labels.text`.

    Raises:
        InvalidSampleError: The value is not a number, not 0 or 1, or not a list of names.
    """
    values = value if isinstance(value, tuple) else (value,)
    if LABEL_TYPES[task].is_numeric:
        return text_of_numbers([_parse_number(column, item) for column, item in zip(columns, values, strict=True)])
    if isinstance(value, tuple):
        return text_of_names(
            [column for column, item in zip(columns, values, strict=True) if _parse_flag(column, item)]
        )
    return text_of_names(_parse_names(columns[0], value))


def _parse_number(column: str, value: object) -> float:
    number = math.nan
    if isinstance(value, int | float | str | Decimal) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = math.nan if isinstance(value, str) and "_" in value else float(value)
    if not math.isfinite(number):
        raise InvalidSampleError(f"its {column!r} is {_describe(value)}, expected a finite number")
    if abs(number) > _MAX_NUMBER:
        raise InvalidSampleError(f"its {column!r} is {_describe(value)}, too large for 32 bits; use a larger unit")
    return number


def _parse_flag(column: str, value: object) -> bool:
    text = str(value).strip().lower() if isinstance(value, bool | int | float | str) else ""
    if text not in _FLAGS:
        raise InvalidSampleError(f"its {column!r} is {_describe(value)}, expected 0 or 1")
    return _FLAGS[text]


def _parse_names(column: str, value: object) -> list[str]:
    items: object = value
    if isinstance(value, str) and value.strip():
        if value.lstrip().startswith("["):
            items = _parse_json(value)
        else:
            items = [part for part in _SEPARATOR.split(value) if part.strip()]
    elif isinstance(value, int) and not isinstance(value, bool):
        items = [value]
    if not isinstance(items, list):
        raise InvalidSampleError(
            f"its {column!r} is {_describe(value)}, expected names separated by | or ;, or a JSON list of names "
            "([] for no label)"
        )
    names = []
    for item in items:
        name = str(item).strip() if isinstance(item, str | int) and not isinstance(item, bool) else ""
        if problem := find_label_problem(name):
            raise InvalidSampleError(f"its {column!r} contains {describe_value(item)}, which {problem}")
        names.append(name)
    return names


def _parse_json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _describe(value: object) -> str:
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    return "empty" if is_empty else describe_value(value)
