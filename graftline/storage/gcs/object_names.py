"""Names of buckets and objects: all come from outside, and objects' names become paths."""

import re
from collections.abc import Iterable

from graftline.runtime.errors import RefusedError
from graftline.storage.paths import bad_name

GS = "gs://"
ARRIVING = ".arriving"
"""The folder, inside of the one that is fetched to, where files lie until they are whole."""
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LONGEST = 255  # bytes of one part of a path, on nearly all file systems


def parsed(place: str) -> tuple[str, str]:
    """Splits a gs:// URI into bucket and name, the name without slashes at its end.

    Raises:
        RefusedError: Not well formed.
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
    """Refuses an object whose name cannot be a path below a folder.

    Args:
        place: For the message.
        name: Relative to the place.

    Raises:
        RefusedError: It would leave the folder, or no file can have it.
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
    """Refuses objects of which one's name is another's folder: a bucket holds both, a disk cannot.

    Args:
        place: For the message.
        names: Relative to the place.

    Raises:
        RefusedError: There are two such.
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
