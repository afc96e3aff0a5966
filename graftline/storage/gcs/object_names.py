"""Validation of the names of buckets and objects, which are untrusted; the names of objects become file paths."""

import re
from collections.abc import Iterable

from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

GS = "gs://"
ARRIVING = ".arriving"
"""Name of the subfolder of the destination that contains files until they are complete."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LONGEST = 255  # maximum bytes of a path component on most file systems


def parsed(place: str) -> tuple[str, str]:
    """Returns the bucket and the object name of a gs:// URI, the name without trailing slashes.

    Raises:
        RefusedError: If the URI is not well formed.
    """
    bucket, _, name = place.removeprefix(GS).partition("/")
    name = name.rstrip("/")
    if not _BUCKET.fullmatch(bucket) or bad_name(name) or "" in name.split("/")[:-1]:
        raise RefusedError(
            f"{place!r}: not a well-formed URI; expected gs://bucket/name without '..', empty parts or "
            "control characters"
        )
    return bucket, name


def check_object(place: str, name: str) -> None:
    """Checks that the name of an object is valid as a path below a folder.

    Args:
        place: gs:// URI for the message.
        name: Name relative to `place`.

    Raises:
        RefusedError: If the path would be outside of the folder or is not valid as a file path.
    """
    parts = name.split("/")
    why = bad_name(name)
    if why is None and not {"", "."}.isdisjoint(parts):
        why = "has an empty part or '.'"
    if why is None and max(len(part.encode(errors="surrogatepass")) for part in parts) > _LONGEST:
        why = f"has a part of more than {_LONGEST} bytes"
    if why is None and ARRIVING in parts:
        why = "has the name of the folder where files arrive"
    if why:
        raise RefusedError(f"{place}: the object {name!r} {why}; rename it in the bucket")


def check_tree(place: str, names: Iterable[str]) -> None:
    """Checks that no object has the name of a folder of another object, which a file system does not allow.

    Args:
        place: gs:// URI for the message.
        names: Names relative to `place`.

    Raises:
        RefusedError: If an object has the name of a folder of another object.
    """
    files = set(names)
    folders: set[str] = set()
    for name in files:
        while (name := name.rpartition("/")[0]) and name not in folders:
            folders.add(name)
    for name in sorted(files & folders):
        raise RefusedError(
            f"{place}: the object {name!r} and those below {name + '/'!r} cannot both be files here; "
            "rename one in the bucket"
        )
