"""Names of files and objects that come from outside: which of them may become part of a path."""

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def bad_name(name: str) -> str | None:
    """Says what is wrong with a relative name that comes from outside, None when it stays inside of a folder."""
    if CONTROL.search(name):
        return "has a control character in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/"):
        return "has an absolute path"
    if _DRIVE.match(name):
        return "has a drive letter"
    if ".." in name.split("/"):
        return "climbs out with '..'"
    return None
