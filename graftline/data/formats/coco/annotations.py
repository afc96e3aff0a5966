"""One COCO JSON to image-level labels: an image has a class when all its annotations name one category; for multilabel
it has all the categories that they name."""

import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from graftline.config import DEFAULT_TASK, Columns
from graftline.data.dataset import Dropped, SplitName
from graftline.data.formats.archives.members import Member
from graftline.data.formats.naming.record_fields import (
    UnfitError,
    bad_label,
    brief,
    group_of_record,
    shown,
    split_of_record,
)
from graftline.data.labels import LABEL_TYPES
from graftline.data.labels.text import text_of_names
from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

MAX_BYTES = 512 * 2**20
"""Bytes of one JSON, which is read whole."""
_LISTS = "images", "annotations", "categories"
_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_Id = int | float | str


class _Annotation(NamedTuple):
    """What an image-level label needs of an annotation; its shapes would fill memory."""

    image: object
    category: object


@dataclass(frozen=True, slots=True)
class Named:
    """An image that a JSON names, and its one category."""

    file: str
    """As the JSON has it; it leaves no folder."""
    label: str
    """Its class; for multilabel the text of all its categories."""
    split: SplitName | None
    group: str | None


def looks_like(head: bytes, tail: bytes) -> bool:
    """Whether the first and last bytes of a file are those of a COCO JSON."""
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    lists = {match[1] for end in (head, tail) for match in _LIST.finditer(end)}
    return len(lists) >= 2 or (b"annotations" in lists and b'"image_id"' in head and b'"category_id"' in head)


def read_json(
    where: str, member: Member, columns: Columns, task: str = DEFAULT_TASK
) -> tuple[list[Named], list[Dropped]]:
    """Reads the labels of one JSON.

    Args:
        where: The JSON, for messages.
        member: The JSON.
        columns: `split` and `group` name keys of the records under `images`.
        task: For multilabel an image may have any number of categories, also none.

    Returns:
        The images with exactly one category, and what the others lack.

    Raises:
        RefusedError: Too large, no COCO JSON, or ids and names in it that mean two things.
    """
    whole = _loaded(where, member)
    images, annotations, categories = (_list(where, whole, name) for name in _LISTS)
    names = _category_names(where, categories)
    records = _by_id(where, images)
    of_image, faults = _categories(member.name, records, annotations)
    found = []
    for key, record in records.items():
        try:
            found.append(_named(record, [names.get(each) for each in of_image[key]], columns, task))
        except UnfitError as error:
            faults.append(Dropped(file=shown(record["file_name"]), why=str(error)))
    return found, faults


def _loaded(where: str, member: Member) -> dict[str, Any]:
    if member.size > MAX_BYTES:
        raise RefusedError(
            f"{where}: {member.size:,} bytes; at most {MAX_BYTES:,} are read; leave the shapes "
            "('segmentation') out of it, or split it into several by images"
        )
    try:
        with member.open() as file:
            value = json.load(io.TextIOWrapper(file, "utf-8-sig"), object_hook=_slim)
    except (ValueError, RecursionError, OSError) as error:
        raise RefusedError(f"{where}: not a whole JSON ({error}); copy or download it again") from None
    if not isinstance(value, dict):
        raise RefusedError(
            f"{where}: no COCO JSON: expected an object with {', '.join(_LISTS)}, found a {type(value).__name__}"
        )
    return value


def _slim(record: dict[str, Any]) -> object:
    if "category_id" in record and "image_id" in record:
        return _Annotation(record["image_id"], record["category_id"])
    return record


def _list(where: str, whole: Mapping[str, Any], name: str) -> list[Any]:
    value = whole.get(name)
    if not isinstance(value, list):
        raise RefusedError(
            f"{where}: no COCO JSON with labels: expected a list {name!r}, found "
            f"{', '.join(map(brief, sorted(whole)[:10])) or 'nothing'}"
        )
    return value


def _category_names(where: str, categories: Sequence[Any]) -> dict[_Id, str]:
    names: dict[_Id, str] = {}
    ids: dict[str, _Id] = {}
    for number, category in enumerate(categories):
        key, name = (category.get("id"), category.get("name")) if isinstance(category, dict) else (None, None)
        if not isinstance(key, _Id) or not isinstance(name, str):
            raise RefusedError(f"{where}: categories[{number}] is {brief(category)}, expected an id and a name")
        if why := bad_label(name):
            raise RefusedError(f"{where}: the name of category {key!r} {why}")
        if key in names:
            raise RefusedError(
                f"{where}: the categories {names[key]!r} and {name!r} have the same id {key!r}; ids must be unique"
            )
        if name in ids:
            raise RefusedError(
                f"{where}: the categories {ids[name]!r} and {key!r} are both called {name!r}; merge or rename one"
            )
        names[key], ids[name] = name, key
    return names


def _by_id(where: str, images: Sequence[Any]) -> dict[_Id, dict[str, Any]]:
    records: dict[_Id, dict[str, Any]] = {}
    for number, image in enumerate(images):
        key, file = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if not isinstance(key, _Id) or not isinstance(file, str):
            raise RefusedError(f"{where}: images[{number}] is {brief(image)}, expected an id and a file_name")
        if key in records:
            raise RefusedError(
                f"{where}: the images {records[key]['file_name']!r} and {file!r} have the same id "
                f"{key!r}; ids must be unique"
            )
        records[key] = image
    return records


def _categories(
    file: str, records: Mapping[_Id, object], annotations: Sequence[Any]
) -> tuple[dict[_Id, set[Any]], list[Dropped]]:
    """Categories' ids by image, and one fault for all annotations that belong to none."""
    of_image: dict[_Id, set[Any]] = {key: set() for key in records}
    why: Counter[str] = Counter()
    for annotation in annotations:
        if not isinstance(annotation, _Annotation):
            why["have no image_id or no category_id"] += 1
        elif not isinstance(annotation.image, _Id) or annotation.image not in of_image:
            why["name an image_id that is not under images"] += 1
        else:
            category = annotation.category
            of_image[annotation.image].add(category if isinstance(category, _Id) else None)
    return of_image, [Dropped(file=file, why=f"{count:,} annotations {reason}") for reason, count in why.items()]


def _named(record: Mapping[str, Any], categories: Sequence[str | None], columns: Columns, task: str) -> Named:
    file = record["file_name"]
    if why := bad_name(file):
        raise UnfitError(why)
    if shown(file) != file:
        raise UnfitError("its name is no Unicode text")
    if None in categories:
        raise UnfitError("an annotation of it names a category_id that is not under categories")
    labels = sorted(name for name in categories if name is not None)
    is_multi_hot = LABEL_TYPES[task].is_multi_hot
    if not is_multi_hot and not labels:
        raise UnfitError("no annotation")
    if not is_multi_hot and len(labels) > 1:
        raise UnfitError(
            f"{len(labels)} categories: {', '.join(labels[:5])}{', ...' if len(labels) > 5 else ''}; "
            "classification needs one, `task: multilabel` takes any number"
        )
    label = text_of_names(labels) if is_multi_hot else labels[0]
    return Named(file, label, split_of_record(record, columns.split), group_of_record(record, columns.group))
