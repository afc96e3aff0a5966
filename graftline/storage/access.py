"""Common interface to local paths, file:// URIs and gs:// URIs: existence checks, listings, downloads and uploads.

A downloaded file is written under a temporary name, verified by its crc32c checksum and renamed, so a file under its
final name is complete. Complete files are not downloaded again. See `graftline.storage.gcs.client` for the credentials
and for anonymous access.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from graftline.runtime.errors import RefusedError
from graftline.storage.file_info import FileInfo, file_info
from graftline.storage.gcs.object_names import GS, parsed
from graftline.storage.paths import bad_name

__all__ = ["FileInfo", "exists", "fetch", "fetch_uris", "is_remote", "listing", "listing_of", "local", "put"]

# Modules that use the Google Cloud client are imported only for gs:// URIs, because importing them takes about 1 s.


def is_remote(place: str) -> bool:
    """Returns whether a path or URI is a gs:// URI.

    Raises:
        RefusedError: If it is a URI that is neither gs:// nor file://.
    """
    scheme, colon, _ = place.partition("://")
    if colon and scheme not in ("gs", "file"):
        raise RefusedError(f"{place!r}: not a local path, file:// or gs:// URI")
    return place.startswith(GS)


def exists(place: str) -> bool:
    """Returns whether a path or URI is an existing file, folder, object or non-empty prefix.

    Raises:
        RefusedError: If a URI is not well formed or a bucket is not accessible.
    """
    if is_remote(place):
        from graftline.storage.gcs import listing as objects

        return objects.exists(place)
    return _path(place).exists()


def listing(place: str) -> list[FileInfo]:
    """Returns the files at a path or URI with their checksums, sorted by name; gs:// objects are not downloaded.

    Args:
        place: Local path, file:// or gs:// URI.

    Raises:
        RefusedError: If the path or URI does not exist, is not well formed or is not accessible.
    """
    if is_remote(place):
        from graftline.storage.gcs import listing as objects

        return objects.listed(place)[1]
    path = _there(place)
    if path.is_file():
        return [file_info(path, path.name)]
    names = [file for file in sorted(path.rglob("*")) if file.is_file()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sorted(pool.map(lambda file: file_info(file, file.relative_to(path).as_posix()), names))


def local(place: str, cache: Path | None) -> Path:
    """Returns a local path for a path or URI, downloading gs:// objects.

    Args:
        place: Local path, file:// or gs:// URI.
        cache: Folder for downloaded gs:// objects; required only for gs:// URIs.

    Returns:
        The local path itself or, for a gs:// URI, the file or folder in `cache`.

    Raises:
        RefusedError: As in `fetch`, or if the path or URI does not exist or is not well formed.
    """
    if not is_remote(place):
        return _there(place)
    if cache is None:
        raise RefusedError(f"{place}: in a bucket; give a local copy here")
    from graftline.storage.gcs import download
    from graftline.storage.gcs import listing as objects

    bucket, name = parsed(place)
    prefix, entries = objects.listed(place)
    alone = bool(name) and prefix != name + "/"
    folder = cache if alone else cache / (PurePosixPath(name).name or bucket)
    download.fetch(place, bucket, prefix, entries, folder)
    return folder / entries[0].name if alone else folder


def fetch(place: str, entries: Sequence[FileInfo], folder: Path) -> None:
    """Downloads objects of a gs:// URI to a folder in parallel, skipping files that are already complete.

    Args:
        place: gs:// URI.
        entries: Entries that `listing` returned for `place`, or some of them; other versions of the objects are
            rejected.
        folder: Destination, created if missing; an entry is saved to folder/name as it is stored (not decompressed).

    Raises:
        RefusedError: If the disk has too little free space, an object is missing, replaced or not accessible, the
            service does not respond in time, or the received data is corrupt. Data that is already downloaded is
            kept.
    """
    from graftline.storage.gcs import download
    from graftline.storage.gcs import listing as objects

    if entries:
        download.fetch(place, parsed(place)[0], objects.prefix_of(place, entries), entries, folder)


def fetch_uris(uris: Sequence[str], folder: Path) -> dict[str, Path]:
    """Downloads the objects with the given URIs.

    Args:
        uris: gs:// URIs.
        folder: Destination; an object is saved to folder/bucket/name.

    Returns:
        Mapping from URI to local path, without the objects that do not exist.

    Raises:
        RefusedError: As in `fetch`, or if a URI is not well formed.
    """
    from graftline.storage.gcs.uri_lists import fetch_found, found

    objects = found(uris)
    fetch_found(objects, folder)
    names = {uri: parsed(uri) for uri in uris}
    return {uri: folder / bucket / name for uri, (bucket, name) in names.items() if name in objects.get(bucket, {})}


def listing_of(uris: Sequence[str]) -> list[FileInfo]:
    """Returns the entries of the objects with the given URIs, sorted by URI.

    The `name` of an entry is the URI. Objects that do not exist are omitted.

    Raises:
        RefusedError: If a URI is not well formed or a bucket is not accessible.
    """
    from graftline.storage.gcs.uri_lists import found

    objects = found(uris)
    names = {uri: parsed(uri) for uri in uris}
    return sorted(
        replace(entry, name=uri)
        for uri, (bucket, name) in names.items()
        if (entry := objects.get(bucket, {}).get(name))
    )


def put(file: Path, place: str) -> None:
    """Copies a file atomically to a path or URI without overwriting another file.

    Args:
        file: Local file.
        place: Destination as a local path, file:// or gs:// URI.

    Raises:
        RefusedError: If a file with different content already exists or writing is not permitted.
    """
    if is_remote(place):
        from graftline.storage.gcs import upload

        upload.put(file, place)
        return
    path = _path(place)
    if path.exists():
        if file_info(path, "").crc32c != file_info(file, "").crc32c:
            raise RefusedError(f"{place}: another file is there already; nothing is overwritten")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    shutil.copyfile(file, partial)
    partial.replace(path)


def _path(place: str) -> Path:
    if not place.startswith("file://"):
        if "\0" in place or "\n" in place:
            raise RefusedError(f"{place!r}: a path with a NUL or a newline")
        return Path(place).expanduser()
    parts = urlsplit(place)
    name = unquote(parts.path)
    bad = bad_name(name.lstrip("/")) or bad_name(place.removeprefix("file://").lstrip("/"))
    if parts.netloc not in ("", "localhost") or bad:
        raise RefusedError(f"{place!r}: not a well-formed file:// URI; expected file:///absolute/path without '..'")
    return Path(name)


def _there(place: str) -> Path:
    path = _path(place)
    if not path.exists():
        raise RefusedError(
            f"{place}: there is no such file or folder" + ("" if path.is_absolute() else f" in {Path.cwd()}")
        )
    return path
