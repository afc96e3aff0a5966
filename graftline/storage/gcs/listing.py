"""Bucket listings: names, sizes, checksums and generations, 1,000 objects per request, without downloads."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from graftline.runtime.errors import RefusedError
from graftline.storage.file_info import FileInfo
from graftline.storage.gcs.client import client, waits
from graftline.storage.gcs.error_messages import refusing
from graftline.storage.gcs.object_names import check_object, parsed

_FIELDS = "items(name,size,crc32c,generation),nextPageToken"


def exists(place: str) -> bool:
    """Returns whether a URI is an existing object or a prefix that contains objects.

    Raises:
        RefusedError: If the URI is not well formed or the bucket is not accessible.
    """
    bucket, name = parsed(place)
    with refusing(place):
        if _object(bucket, name) is not None:
            return True
        found = client().list_blobs(bucket, prefix=_below(name), max_results=1, fields=_FIELDS, **waits())
        return any(True for _ in found)


def listed(place: str) -> tuple[str, list[FileInfo]]:
    """Returns the entry of an object or the entries of all objects below a prefix.

    Returns:
        The prefix that precedes the name of each entry in the bucket, and the entries sorted by name.

    Raises:
        RefusedError: If the URI does not exist, is not well formed or is not accessible, or if the name of an object
            is not valid as a file name.
    """
    bucket, name = parsed(place)
    with refusing(place):
        blob = _object(bucket, name)
        if blob is not None:
            return _parent(name), [entry(place, blob, PurePosixPath(name).name)]
        prefix = _below(name)
        entries = sorted(_all_below(place, bucket, prefix))
    if not entries:
        raise RefusedError(f"{place}: there is no such object, and none below it")
    return prefix, entries


def prefix_of(place: str, entries: Sequence[FileInfo]) -> str:
    """Returns the prefix that precedes the names of the given entries in the bucket.

    Args:
        place: gs:// URI.
        entries: Entries that `listed` returned for `place`, or some of them.

    Raises:
        RefusedError: If the URI is not well formed or the bucket is not accessible.
    """
    bucket, name = parsed(place)
    if len(entries) != 1 or not name or entries[0].name != PurePosixPath(name).name:
        return _below(name)
    with refusing(place):  # entry `a` of gs://b/a is either the object gs://b/a or the object gs://b/a/a
        blob = _object(bucket, name)
    return _below(name) if blob is None or blob.generation != entries[0].generation else _parent(name)


def entry(place: str, blob: Any, name: str) -> FileInfo:
    """Returns the entry of an object.

    Raises:
        RefusedError: If the name is not valid as a file name or the object has no checksum.
    """
    check_object(place, name)
    if blob.crc32c is None:
        raise RefusedError(
            f"{place}: the object {name!r} has no checksum, as those with a key of the customer's own; "
            "give a copy without one"
        )
    return FileInfo(name, blob.size, blob.crc32c, blob.generation)


def ranged(bucket: str, prefix: str, first: str, last: str) -> tuple[list[Any], bool]:
    """Returns one page of the objects from `first` to `last` (inclusive) by name, and whether it is the last page."""
    found = client().list_blobs(
        bucket, prefix=prefix, start_offset=first, end_offset=last + "\0", fields=_FIELDS, **waits()
    )
    page = list(next(found.pages, ()))
    return page, found.next_page_token is None


def _all_below(place: str, bucket: str, prefix: str) -> Iterator[FileInfo]:
    for blob in client().list_blobs(bucket, prefix=prefix, fields=_FIELDS, **waits()):
        if not blob.name.endswith("/"):  # placeholder object of a folder that was created in the Cloud console
            yield entry(place, blob, blob.name.removeprefix(prefix))


def _object(bucket: str, name: str) -> Any:
    return client().bucket(bucket).get_blob(name, **waits()) if name else None


def _below(name: str) -> str:
    return name + "/" if name else ""


def _parent(name: str) -> str:
    return name[: len(name) - len(PurePosixPath(name).name)]
