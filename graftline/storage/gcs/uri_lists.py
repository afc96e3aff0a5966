"""Lookup and download of objects given as a list of URIs, such as a column of a table; lookups are per folder."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from graftline.storage.file_info import FileInfo
from graftline.storage.gcs.client import WORKERS
from graftline.storage.gcs.download import fetch
from graftline.storage.gcs.error_messages import refusing
from graftline.storage.gcs.listing import entry, ranged
from graftline.storage.gcs.object_names import GS, parsed


def found(uris: Sequence[str]) -> dict[str, dict[str, FileInfo]]:
    """Returns the entries of the objects with the given URIs.

    Args:
        uris: gs:// URIs of objects.

    Returns:
        Mapping from bucket to a mapping from object name to entry; objects that do not exist are omitted. The
        `name` of an entry is the full object name.

    Raises:
        RefusedError: If a URI is not well formed or a bucket is not accessible.
    """
    folders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for uri in uris:
        bucket, name = parsed(uri)
        if name:
            folders[bucket, name.rpartition("/")[0]].add(name)
    objects: dict[str, dict[str, FileInfo]] = defaultdict(dict)
    with ThreadPoolExecutor(min(WORKERS, len(folders) or 1)) as pool:
        swept = pool.map(lambda item: _sweep(item[0][0], sorted(item[1])), folders.items())
        for (bucket, _), entries in zip(folders, swept, strict=True):
            objects[bucket].update((each.name, each) for each in entries)
    return objects


def fetch_found(objects: dict[str, dict[str, FileInfo]], folder: Path) -> None:
    """Downloads the objects that `found` returned to folder/bucket/name.

    Raises:
        RefusedError: As in `download.fetch`.
    """
    for bucket, entries in objects.items():
        fetch(GS + bucket, bucket, "", list(entries.values()), folder / bucket)


def _sweep(bucket: str, names: list[str]) -> list[FileInfo]:
    """Returns the entries of the objects in one folder that exist among the given sorted names.

    Each request lists one page, starting at the first name that is not yet covered. The number of requests is at most
    the number of names and at most the number of pages of the folder.
    """
    place, prefix = GS + bucket, names[0][: names[0].rfind("/") + 1]
    wanted = set(names)
    entries: list[FileInfo] = []
    at, last = 0, False
    with refusing(place):
        while at < len(names) and not last:
            page, last = ranged(bucket, prefix, names[at], names[-1])
            entries += [entry(place, blob, blob.name) for blob in page if blob.name in wanted]
            at = bisect_right(names, page[-1].name) if page else len(names)
    return entries
