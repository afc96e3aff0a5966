"""Members of one WebDataset sample: their key and fields, and the class that the fields give."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graftline.config import Columns
from graftline.data.dataset import SplitName
from graftline.data.formats.naming.record_fields import (
    InvalidSampleError,
    describe_value,
    find_label_problem,
    read_group,
    read_split,
)

MAX_BYTES = 2**20
"""Maximum size of a label or JSON field."""
_IMAGE_FIELDS = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "img", "image"}
_NUMBER_FIELDS = ("cls", "cls2")
_LABEL_FIELDS = (*_NUMBER_FIELDS, "label", "class", "json", "txt")  # txt last: next to another field it is a caption
_LABEL_KEYS = ("label", "class", "category", "cls", "target")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class SampleFields:
    """Label, split and group of a sample."""

    label: str
    class_number: int | None
    """Set if the label is a class number."""
    split: SplitName | None
    group: str | None


def parse_name(name: str) -> tuple[str, str] | None:
    """Splits a member name into key and field as WebDataset does, at the first dot of the last path component.

    Returns:
        Key and lowercase field, or None for a member that belongs to no sample.
    """
    folder, slash, last = name.rpartition("/")
    stem, dot, field = last.partition(".")
    return (folder + slash + stem, field.lower()) if stem and dot else None


def is_image(field: str) -> bool:
    """Returns whether a field is an encoded image: `jpg`, `image.jpg`."""
    return field.rpartition(".")[2] in _IMAGE_FIELDS


def is_label(field: str, columns: Columns) -> bool:
    """Returns whether a field can give the class: `cls`, `a.b.cls` next to `a.b.jpg`, or the field in the config."""
    label = columns.label.lower() if columns.label else None
    return field.rpartition(".")[2] in _LABEL_FIELDS or (label is not None and f".{field}".endswith(f".{label}"))


def strip_image_prefix(image: str, labels: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """Adds plain field names if an image's name has dots: next to `a.b.jpg`, `a.b.cls` is also `cls`."""
    prefix = image[: image.rfind(".") + 1]
    return {**{field.removeprefix(prefix): content for field, content in labels.items()}, **labels}


def looks_like_shard(names: Iterable[str]) -> bool:
    """Returns whether an image and a label with the same key follow each other among an archive's first names."""
    key, fields = "", set[str]()
    for name in names:
        parsed = parse_name(name)
        if parsed is None:
            continue
        if parsed[0] != key:
            key, fields = parsed[0], set()
        fields.add(parsed[1])
        if any(is_image(field) for field in fields) and any(is_label(field, Columns()) for field in fields):
            return True
    return False


def read_fields(fields: Mapping[str, bytes | None], columns: Columns) -> SampleFields:
    """Reads the label fields of a sample.

    Args:
        fields: Content by field, only those of `is_label`; None for content over `MAX_BYTES`.
        columns: Names of the label field or the JSON keys; the usual names if not set.

    Raises:
        InvalidSampleError: There is no label, or it is not a class.
    """
    record = _parse_record(fields)
    label, number = _find_label(fields, record, columns.label)
    return SampleFields(label, number, read_split(record, columns.split), read_group(record, columns.group))


def _content(fields: Mapping[str, bytes | None], field: str) -> bytes:
    content = fields[field]
    if content is None:
        raise InvalidSampleError(f"its {field} has more than {MAX_BYTES:,} bytes")
    return content


def _parse_record(fields: Mapping[str, bytes | None]) -> dict[str, Any]:
    if "json" not in fields:
        return {}
    try:
        record = json.loads(_content(fields, "json"))
    except (ValueError, RecursionError) as error:
        raise InvalidSampleError(f"its json is damaged: {error}") from None
    return record if isinstance(record, dict) else {"label": record}


def _find_label(
    fields: Mapping[str, bytes | None], record: Mapping[str, Any], name: str | None
) -> tuple[str, int | None]:
    for field in _LABEL_FIELDS if name is None else (name.lower(), "json"):
        if field == "json":
            for key in _LABEL_KEYS if name is None else (name,):
                if key in record:
                    return _label_of_json(key, record[key])
        elif field in fields:
            return _label_of_field(field, _content(fields, field))
    if record:
        keys = ", ".join(map(describe_value, sorted(record)[:10]))
        raise InvalidSampleError(f"its json has no {name or 'label'}, only {keys}; set columns.label to one of them")
    raise InvalidSampleError(
        f"an image without a label; expected a field {name or ', '.join(_LABEL_FIELDS)} next to it"
    )


def _label_of_field(field: str, content: bytes) -> tuple[str, int | None]:
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise InvalidSampleError(f"its {field} is not UTF-8 text") from None
    if field not in _NUMBER_FIELDS:
        return _check_label(field, text), None
    if not _NUMBER.fullmatch(text):
        raise InvalidSampleError(f"its {field} is {describe_value(text)}, expected a class number of 0 or more")
    return str(int(text)), int(text)


def _label_of_json(key: str, value: object) -> tuple[str, int | None]:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return _check_label(key, value.strip()), None
    if isinstance(value, bool):
        return json.dumps(value), None
    if isinstance(value, int) and _NUMBER.fullmatch(str(value)):
        return str(value), value
    raise InvalidSampleError(f"the {key!r} in its json is {describe_value(value)}, expected a class name or number")


def _check_label(field: str, text: str) -> str:
    if problem := find_label_problem(text):
        raise InvalidSampleError(f"its {field} {problem}: {describe_value(text)}")
    return text
