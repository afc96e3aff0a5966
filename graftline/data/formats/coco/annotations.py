"""Image-level labels from one COCO JSON.

For classification an image has a class if all its annotations have the same category. For multilabel it has the
categories of all its annotations.
"""

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
    InvalidSampleError,
    describe_value,
    escape_name,
    find_label_problem,
    read_group,
    read_split,
)
from graftline.data.labels import LABEL_TYPES
from graftline.data.labels.text import text_of_names
from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

MAX_BYTES = 512 * 2**20
"""Maximum size of a JSON, which is loaded as a whole."""
_SECTIONS = "images", "annotations", "categories"
_SECTION = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_Id = int | float | str


class _Annotation(NamedTuple):
    """The two fields of an annotation that labels need; keeping the shapes too would fill the memory."""

    image_id: object
    category_id: object


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of a COCO JSON with its label."""

    file_name: str
    """As in the JSON; it does not leave the folder."""
    label: str
    """Class name, or for multilabel the text of all categories."""
    split: SplitName | None
    group: str | None


def looks_like_coco(head: bytes, tail: bytes) -> bool:
    """Returns whether a file with these first and last bytes is a COCO JSON."""
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    sections = {match[1] for end in (head, tail) for match in _SECTION.finditer(end)}
    return len(sections) >= 2 or (b"annotations" in sections and b'"image_id"' in head and b'"category_id"' in head)


def read_annotations(
    where: str, member: Member, columns: Columns, task: str = DEFAULT_TASK
) -> tuple[list[CocoImage], list[Dropped]]:
    """Reads the labels of one JSON.

    Args:
        where: Name of the JSON for messages.
        member: The JSON.
        columns: `split` and `group` are keys of the records under `images`.
        task: For multilabel an image may have any number of categories, including none.

    Returns:
        The labeled images, and the images that are dropped with the reasons.

    Raises:
        RefusedError: The file is too large or not a COCO JSON, or its ids or names are ambiguous.
    """
    content = _load(where, member)
    images, annotations, categories = (_section(where, content, name) for name in _SECTIONS)
    names = _names_by_id(where, categories)
    records = _images_by_id(where, images)
    categories_of_image, dropped = _categories_by_image(member.name, records, annotations)
    labeled = []
    for image_id, record in records.items():
        try:
            category_names = [names.get(category) for category in categories_of_image[image_id]]
            labeled.append(_label_image(record, category_names, columns, task))
        except InvalidSampleError as error:
            dropped.append(Dropped(file=escape_name(record["file_name"]), why=str(error)))
    return labeled, dropped


def _load(where: str, member: Member) -> dict[str, Any]:
    if member.size > MAX_BYTES:
        raise RefusedError(
            f"{where}: {member.size:,} bytes; at most {MAX_BYTES:,} can be read. Remove the shapes ('segmentation'), "
            "or split the file by images"
        )
    try:
        with member.open() as file:
            value = json.load(io.TextIOWrapper(file, "utf-8-sig"), object_hook=_keep_ids_only)
    except (ValueError, RecursionError, OSError) as error:
        raise RefusedError(f"{where}: incomplete or damaged JSON ({error}); copy or download it again") from None
    if not isinstance(value, dict):
        raise RefusedError(
            f"{where}: not a COCO JSON: expected an object with {', '.join(_SECTIONS)}, found a {type(value).__name__}"
        )
    return value


def _keep_ids_only(record: dict[str, Any]) -> object:
    if "category_id" in record and "image_id" in record:
        return _Annotation(record["image_id"], record["category_id"])
    return record


def _section(where: str, content: Mapping[str, Any], name: str) -> list[Any]:
    value = content.get(name)
    if not isinstance(value, list):
        raise RefusedError(
            f"{where}: not a COCO JSON with labels: expected a list {name!r}, found "
            f"{', '.join(map(describe_value, sorted(content)[:10])) or 'nothing'}"
        )
    return value


def _names_by_id(where: str, categories: Sequence[Any]) -> dict[_Id, str]:
    names: dict[_Id, str] = {}
    ids: dict[str, _Id] = {}
    for number, category in enumerate(categories):
        key, name = (category.get("id"), category.get("name")) if isinstance(category, dict) else (None, None)
        if not isinstance(key, _Id) or not isinstance(name, str):
            raise RefusedError(
                f"{where}: categories[{number}] is {describe_value(category)}, expected an id and a name"
            )
        if problem := find_label_problem(name):
            raise RefusedError(f"{where}: the name of category {key!r} {problem}")
        if key in names:
            raise RefusedError(
                f"{where}: categories {names[key]!r} and {name!r} have the same id {key!r}; ids must be unique"
            )
        if name in ids:
            raise RefusedError(
                f"{where}: categories {ids[name]!r} and {key!r} have the same name {name!r}; merge or rename one"
            )
        names[key], ids[name] = name, key
    return names


def _images_by_id(where: str, images: Sequence[Any]) -> dict[_Id, dict[str, Any]]:
    records: dict[_Id, dict[str, Any]] = {}
    for number, image in enumerate(images):
        key, file = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if not isinstance(key, _Id) or not isinstance(file, str):
            raise RefusedError(f"{where}: images[{number}] is {describe_value(image)}, expected an id and a file_name")
        if key in records:
            raise RefusedError(
                f"{where}: images {records[key]['file_name']!r} and {file!r} have the same id {key!r}; "
                "ids must be unique"
            )
        records[key] = image
    return records


def _categories_by_image(
    file: str, records: Mapping[_Id, object], annotations: Sequence[Any]
) -> tuple[dict[_Id, set[Any]], list[Dropped]]:
    """Returns category ids by image id, and one entry per reason for annotations without an image."""
    categories: dict[_Id, set[Any]] = {key: set() for key in records}
    reasons: Counter[str] = Counter()
    for annotation in annotations:
        if not isinstance(annotation, _Annotation):
            reasons["have no image_id or no category_id"] += 1
        elif not isinstance(annotation.image_id, _Id) or annotation.image_id not in categories:
            reasons["have an image_id that is not under images"] += 1
        else:
            category = annotation.category_id
            categories[annotation.image_id].add(category if isinstance(category, _Id) else None)
    return categories, [Dropped(file=file, why=f"{count:,} annotations {reason}") for reason, count in reasons.items()]


def _label_image(record: Mapping[str, Any], categories: Sequence[str | None], columns: Columns, task: str) -> CocoImage:
    file_name = record["file_name"]
    if problem := bad_name(file_name):
        raise InvalidSampleError(problem)
    if escape_name(file_name) != file_name:
        raise InvalidSampleError("its name is not valid Unicode")
    if None in categories:
        raise InvalidSampleError("one of its annotations has a category_id that is not under categories")
    names = sorted(name for name in categories if name is not None)
    is_multi_hot = LABEL_TYPES[task].is_multi_hot
    if not is_multi_hot and not names:
        raise InvalidSampleError("no annotation")
    if not is_multi_hot and len(names) > 1:
        raise InvalidSampleError(
            f"{len(names)} categories: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}; "
            "classification needs exactly one, `task: multilabel` allows any number"
        )
    label = text_of_names(names) if is_multi_hot else names[0]
    return CocoImage(file_name, label, read_split(record, columns.split), read_group(record, columns.group))
