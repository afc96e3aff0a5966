"""What lies in a bucket: a page of 1,000 names, sizes, checksums and generations a request, and no download."""

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
    """Whether a URI names an object or a prefix that holds some.

    Raises:
        RefusedError: Not well formed, or the bucket cannot be asked.
    """
    bucket, name = parsed(place)
    with refusing(place):
        if _object(bucket, name) is not None:
            return True
        found = client().list_blobs(bucket, prefix=_below(name), max_results=1, fields=_FIELDS, **waits())
        return any(True for _ in found)


def listed(place: str) -> tuple[str, list[FileInfo]]:
    """Lists an object, or all below a prefix.

    Returns:
        What stands before each entry's name in the bucket, and the entries, sorted by name.

    Raises:
        RefusedError: Missing, not well formed, not permitted, or an object's name that cannot be a file's.
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
    """What stands in the bucket before the names of entries that `listed` gave for a place, or of some of them.

    Raises:
        RefusedError: Not well formed, or the bucket cannot be asked.
    """
    bucket, name = parsed(place)
    if len(entries) != 1 or not name or entries[0].name != PurePosixPath(name).name:
        return _below(name)
    with refusing(place):  # gs://b/a/a is an object a, or a prefix that holds one of its own name
        blob = _object(bucket, name)
    return _below(name) if blob is None or blob.generation != entries[0].generation else _parent(name)


def entry(place: str, blob: Any, name: str) -> FileInfo:
    """What is told of an object.

    Raises:
        RefusedError: Its name cannot be a file's, or it has no checksum.
    """
    check_object(place, name)
    if blob.crc32c is None:
        raise RefusedError(
            f"{place}: the object {name!r} has no checksum, as those with a key of the customer's own; "
            "give a copy without one"
        )
    return FileInfo(name, blob.size, blob.crc32c, blob.generation)


def ranged(bucket: str, prefix: str, first: str, last: str) -> tuple[list[Any], bool]:
    """A page of objects by name, from `first` to `last`, and whether it is the last page."""
    found = client().list_blobs(
        bucket, prefix=prefix, start_offset=first, end_offset=last + "\0", fields=_FIELDS, **waits()
    )
    page = list(next(found.pages, ()))
    return page, found.next_page_token is None


def _all_below(place: str, bucket: str, prefix: str) -> Iterator[FileInfo]:
    for blob in client().list_blobs(bucket, prefix=prefix, fields=_FIELDS, **waits()):
        if not blob.name.endswith("/"):  # a folder that a console made
            yield entry(place, blob, blob.name.removeprefix(prefix))


def _object(bucket: str, name: str) -> Any:
    return client().bucket(bucket).get_blob(name, **waits()) if name else None


def _below(name: str) -> str:
    return name + "/" if name else ""


def _parent(name: str) -> str:
    return name[: len(name) - len(PurePosixPath(name).name)]
