"""What the members of one WebDataset sample are: their key, their fields, and the class that the fields name."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graftline.config import Columns
from graftline.data.dataset import SplitName
from graftline.data.formats.naming.record_fields import UnfitError, bad_label, brief, group_of_record, split_of_record

MAX_BYTES = 2**20
"""Bytes of one label or json field."""
_IMAGES = {"jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "img", "image"}
_NUMBERS = ("cls", "cls2")
_LABELS = (*_NUMBERS, "label", "class", "json", "txt")  # txt last: beside another it is a caption
_KEYS = ("label", "class", "category", "cls", "target")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class SampleFields:
    """What a sample's fields say of it."""

    label: str
    number: int | None
    """The class's number where the label is one."""
    split: SplitName | None
    group: str | None


def key_of(name: str) -> tuple[str, str] | None:
    """Splits a member's name as WebDataset does: key up to the first dot of the last part, field in lower case.

    Returns:
        Key and field, None for a member that belongs to no sample.
    """
    folder, slash, last = name.rpartition("/")
    stem, dot, field = last.partition(".")
    return (folder + slash + stem, field.lower()) if stem and dot else None


def is_image(field: str) -> bool:
    """Whether a field is an encoded image: `jpg`, `image.jpg`."""
    return field.rpartition(".")[2] in _IMAGES


def is_label(field: str, columns: Columns) -> bool:
    """Whether a field may name the class: `cls`, `a.b.cls` beside `a.b.jpg`, or what the config names."""
    wanted = columns.label.lower() if columns.label else None
    return field.rpartition(".")[2] in _LABELS or (wanted is not None and f".{field}".endswith(f".{wanted}"))


def beside(image: str, labels: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
    """Gives labels their plain field names, where an image's name had dots: `a.b.cls` is `cls` beside `a.b.jpg`."""
    prefix = image[: image.rfind(".") + 1]
    return {**{field.removeprefix(prefix): content for field, content in labels.items()}, **labels}


def looks_like(names: Iterable[str]) -> bool:
    """Whether among an archive's first names an image and a label of one key stand together."""
    key, fields = "", set[str]()
    for name in names:
        found = key_of(name)
        if found is None:
            continue
        if found[0] != key:
            key, fields = found[0], set()
        fields.add(found[1])
        if any(is_image(field) for field in fields) and any(is_label(field, Columns()) for field in fields):
            return True
    return False


def facts_of(fields: Mapping[str, bytes | None], columns: Columns) -> SampleFields:
    """Reads a sample's label fields.

    Args:
        fields: Field to content, those of `is_label` only; None for one of more than `MAX_BYTES`.
        columns: Names the field or the json's keys; where not, the usual ones are looked for.

    Raises:
        UnfitError: No label, or one that is no class.
    """
    record = _record(fields)
    label, number = _label(fields, record, columns.label)
    return SampleFields(label, number, split_of_record(record, columns.split), group_of_record(record, columns.group))


def _content(fields: Mapping[str, bytes | None], field: str) -> bytes:
    content = fields[field]
    if content is None:
        raise UnfitError(f"its {field} has more than {MAX_BYTES:,} bytes")
    return content


def _record(fields: Mapping[str, bytes | None]) -> dict[str, Any]:
    if "json" not in fields:
        return {}
    try:
        record = json.loads(_content(fields, "json"))
    except (ValueError, RecursionError) as error:
        raise UnfitError(f"its json is damaged: {error}") from None
    return record if isinstance(record, dict) else {"label": record}


def _label(fields: Mapping[str, bytes | None], record: Mapping[str, Any], wanted: str | None) -> tuple[str, int | None]:
    for field in _LABELS if wanted is None else (wanted.lower(), "json"):
        if field == "json":
            for key in _KEYS if wanted is None else (wanted,):
                if key in record:
                    return _of_json(key, record[key])
        elif field in fields:
            return _of_text(field, _content(fields, field))
    if record:
        have = ", ".join(map(brief, sorted(record)[:10]))
        raise UnfitError(f"its json has no {wanted or 'label'}; it has {have}; name one under columns.label")
    raise UnfitError(f"an image and no label; expected a field {wanted or ', '.join(_LABELS)} beside it")


def _of_text(field: str, content: bytes) -> tuple[str, int | None]:
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise UnfitError(f"its {field} is no UTF-8 text") from None
    if field not in _NUMBERS:
        return _clean(field, text), None
    if not _NUMBER.fullmatch(text):
        raise UnfitError(f"its {field} is {brief(text)}, expected the number of a class, 0 or more")
    return str(int(text)), int(text)


def _of_json(key: str, value: object) -> tuple[str, int | None]:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str):
        return _clean(key, value.strip()), None
    if isinstance(value, bool):
        return json.dumps(value), None
    if isinstance(value, int) and _NUMBER.fullmatch(str(value)):
        return str(value), value
    raise UnfitError(f"the {key!r} in its json is {brief(value)}, expected a name or a number of a class")


def _clean(field: str, text: str) -> str:
    if why := bad_label(text):
        raise UnfitError(f"its {field} {why}: {brief(text)}")
    return text
