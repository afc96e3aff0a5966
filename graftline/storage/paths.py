"""Validation of untrusted names of files and objects before they become part of a path."""

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def bad_name(name: str) -> str | None:
    """Returns why an untrusted relative name is unsafe as a path, or None if it stays inside its folder."""
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
