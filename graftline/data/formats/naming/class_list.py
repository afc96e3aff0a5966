"""Class names by number from a file next to the data: `classes.txt`, `classes.json` or `labels.txt`."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from graftline.data.formats.archives.members import Member
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.record_fields import describe_value, find_label_problem
from graftline.runtime.errors import RefusedError

_FILES = ("classes.txt", "classes.json", "labels.txt")
MAX_BYTES = 16 * 2**20
"""Maximum size of such a file."""


def read_class_list(
    location: DataLocation, members: Sequence[Member], folders: Sequence[PurePosixPath]
) -> list[str] | None:
    """Reads the first class list in the given folders.

    Args:
        location: For messages.
        members: All files.
        folders: Folders to search, in this order.

    Returns:
        Class names by number, or None if there is no class list.

    Raises:
        RefusedError: The file is not one name per line or a JSON list of names, or a name occurs twice.
    """
    by_name = {member.name: member for member in members}
    for folder in folders:
        for file in _FILES:
            member = by_name.get((folder / file).as_posix())
            if member is not None:
                where = f"{location}: {member.name}"
                return _check_names(where, _load_names(where, member))
    return None


def _load_names(where: str, member: Member) -> list[object]:
    if member.size > MAX_BYTES:
        raise RefusedError(f"{where}: {member.size:,} bytes; a list of class names may have at most {MAX_BYTES:,}")
    try:
        with member.open() as file:
            content = file.read()
        if not member.name.endswith(".json"):
            return [line.strip() for line in content.decode().rstrip().splitlines()]
        value = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(
            f"{where}: not a list of class names ({error}); expected UTF-8 text with one name per line, or a JSON list "
            "of names"
        ) from None
    if isinstance(value, dict) and set(value) == {str(number) for number in range(len(value))}:
        return [value[str(number)] for number in range(len(value))]
    if not isinstance(value, list):
        raise RefusedError(f"{where}: expected a JSON list of names, or an object that maps 0, 1, 2, ... to names")
    return value


def _check_names(where: str, values: Sequence[object]) -> list[str]:
    numbers: dict[str, int] = {}
    for number, name in enumerate(values):
        if not isinstance(name, str):
            raise RefusedError(f"{where}: class {number} is {describe_value(name)}, expected a name")
        if problem := find_label_problem(name):
            raise RefusedError(f"{where}: the name of class {number} {problem}")
        if name in numbers:
            raise RefusedError(f"{where}: classes {numbers[name]} and {number} have the same name {name!r}; rename one")
        numbers[name] = number
    return list(numbers)
