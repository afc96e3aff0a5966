"""Local paths, file:// and gs:// URIs behind one small interface: is it there, what is in it, bring it here.

What is brought here is verified by its crc32c, written under another name and renamed, so a file at its place is whole,
and what is whole is not fetched again. `graftline.storage.gcs.client` says which credentials are used,
and how to do without.
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

# Modules that talk to Google are imported where a gs:// place is met: they take a second.


def is_remote(place: str) -> bool:
    """Whether a place is in a bucket.

    Raises:
        RefusedError: A URI that is neither gs:// nor file://.
    """
    scheme, colon, _ = place.partition("://")
    if colon and scheme not in ("gs", "file"):
        raise RefusedError(f"{place!r}: not a local path, file:// or gs:// URI")
    return place.startswith(GS)


def exists(place: str) -> bool:
    """Whether a path or URI names a file, a folder, an object or a non-empty prefix.

    Raises:
        RefusedError: A URI that is not well formed, or a bucket that cannot be asked.
    """
    if is_remote(place):
        from graftline.storage.gcs import listing as objects

        return objects.exists(place)
    return _path(place).exists()


def listing(place: str) -> list[FileInfo]:
    """Lists a place's files with their checksums, sorted; gs:// costs a listing and no download.

    Args:
        place: Local path, file:// or gs:// URI.

    Raises:
        RefusedError: Missing, not well formed, or not permitted.
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
    """Brings a place here.

    Args:
        place: Local path, file:// or gs:// URI.
        cache: Folder that gs:// objects are downloaded to; needed for those only.

    Returns:
        The place's own path; for gs:// the file or folder in `cache`.

    Raises:
        RefusedError: As `fetch`, and for a place that is missing or not well formed.
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
    """Brings objects of a gs:// place to a folder, in parallel; those that are there whole are kept.

    Args:
        place: gs:// URI.
        entries: All or some of what `listing` gave for it; other versions of the objects are refused.
        folder: Made if it is not there; an entry goes to folder/name, as it is stored (not unpacked).

    Raises:
        RefusedError: Too little room on the disk, missing, replaced, not permitted, no answer in time, or damaged on
            the way. What arrived until then stays.
    """
    from graftline.storage.gcs import download
    from graftline.storage.gcs import listing as objects

    if entries:
        download.fetch(place, parsed(place)[0], objects.prefix_of(place, entries), entries, folder)


def fetch_uris(uris: Sequence[str], folder: Path) -> dict[str, Path]:
    """Brings objects here that are named one by one.

    Args:
        uris: gs:// URIs.
        folder: An object goes to folder/bucket/name.

    Returns:
        URI to path; what is not there is left out.

    Raises:
        RefusedError: As `fetch`, and for a URI that is not well formed.
    """
    from graftline.storage.gcs.uri_lists import fetch_found, found

    objects = found(uris)
    fetch_found(objects, folder)
    names = {uri: parsed(uri) for uri in uris}
    return {uri: folder / bucket / name for uri, (bucket, name) in names.items() if name in objects.get(bucket, {})}


def listing_of(uris: Sequence[str]) -> list[FileInfo]:
    """Lists objects that are named one by one, sorted, an entry's name being the URI; what is not there is left out.

    Raises:
        RefusedError: A URI that is not well formed, or a bucket that cannot be asked.
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
    """Copies a file to a place that is new, whole or not at all.

    Args:
        file: Here.
        place: Path, file:// or gs:// URI of the file to make.

    Raises:
        RefusedError: Another file is there already (the same bytes are fine), or it is not permitted.
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
