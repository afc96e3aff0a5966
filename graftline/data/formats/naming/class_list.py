"""A file beside the data that names classes by their numbers: `classes.txt`, `classes.json` or `labels.txt`."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

from graftline.data.formats.archives.members import Member
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.record_fields import bad_label, brief
from graftline.runtime.errors import RefusedError

_FILES = ("classes.txt", "classes.json", "labels.txt")
_MAX_BYTES = 16 * 2**20


def class_names(place: DataLocation, members: Sequence[Member], folders: Sequence[PurePosixPath]) -> list[str] | None:
    """Reads the first such file that is there.

    Args:
        place: For messages.
        members: All files.
        folders: Where to look, in this order.

    Returns:
        Names by number; None where there is no such file.

    Raises:
        RefusedError: Not one name a line or a JSON list of names, or two names alike.
    """
    by_name = {member.name: member for member in members}
    for folder in folders:
        for file in _FILES:
            member = by_name.get((folder / file).as_posix())
            if member is not None:
                return _checked(f"{place}: {member.name}", _names(f"{place}: {member.name}", member))
    return None


def _names(where: str, member: Member) -> list[object]:
    if member.size > _MAX_BYTES:
        raise RefusedError(f"{where}: {member.size:,} bytes; a list of class names has at most {_MAX_BYTES:,}")
    try:
        with member.open() as file:
            content = file.read()
        if not member.name.endswith(".json"):
            return [line.strip() for line in content.decode().rstrip().splitlines()]
        value = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise RefusedError(
            f"{where}: not a list of class names ({error}); expected UTF-8 text, a name a line, or a JSON list of names"
        ) from None
    if isinstance(value, dict) and set(value) == {str(number) for number in range(len(value))}:
        return [value[str(number)] for number in range(len(value))]
    if not isinstance(value, list):
        raise RefusedError(f"{where}: expected a JSON list of names, or an object that maps 0, 1, 2 and so on to names")
    return value


def _checked(where: str, found: Sequence[object]) -> list[str]:
    names: dict[str, int] = {}
    for number, name in enumerate(found):
        if not isinstance(name, str):
            raise RefusedError(f"{where}: class {number} is {brief(name)}, expected a name")
        if why := bad_label(name):
            raise RefusedError(f"{where}: the name of class {number} {why}")
        if name in names:
            raise RefusedError(
                f"{where}: the classes {names[name]} and {number} are both called {name!r}; tell them apart"
            )
        names[name] = number
    return list(names)
