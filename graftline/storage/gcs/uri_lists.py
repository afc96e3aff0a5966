"""Objects that are named one by one by URIs, such as a table's rows: found folder by folder, and fetched together."""

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
    """Looks for objects.

    Args:
        uris: gs:// URIs of objects.

    Returns:
        Bucket to object name to entry, under the object's name; what is not there is left out.

    Raises:
        RefusedError: A URI that is not well formed, or a bucket that cannot be asked.
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
    """Brings what `found` found to folder/bucket/name.

    Raises:
        RefusedError: As `download.fetch`.
    """
    for bucket, entries in objects.items():
        fetch(GS + bucket, bucket, "", list(entries.values()), folder / bucket)


def _sweep(bucket: str, names: list[str]) -> list[FileInfo]:
    """Those of some names in one folder that are there.

    Pages are asked for from the next name on that is not passed yet: never more of them than names, nor than the folder
    has.
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
