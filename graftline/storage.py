"""Local paths, file:// and gs:// URIs behind one small interface: is it there, what is in it, bring it here.

Downloads are checksummed (crc32c), written under another name and renamed, so a file at its place is whole. Each call
has its own deadline. With STORAGE_EMULATOR_HOST set, an emulator is asked, without credentials.
"""

import base64
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from graftline.errors import RefusedError
from graftline.formats.members import bad_name

_GS = "gs://"
_DEADLINE = 60.0  # seconds for one call with its retries
_TIMEOUT = (10.0, 30.0)  # seconds to connect, seconds without a byte
_TRIES = 3  # downloads of an object whose bytes came damaged
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")
_PIECE = 2**20


@dataclass(frozen=True, order=True)
class Entry:
    """A file or object."""

    name: str
    """Relative to the place, with slashes; a single file's own name."""
    size: int
    crc32c: str
    """Base64 of its 4 bytes, as Cloud Storage writes it."""


def exists(place: str) -> bool:
    """Whether a path or URI names a file, a folder, an object or a non-empty prefix.

    Raises:
        RefusedError: A URI that is not well formed, or a bucket that cannot be asked.
    """
    if _is_gs(place):
        return bool(_objects(place, first=True))
    return _path(place).exists()


def listing(place: str) -> list[Entry]:
    """Lists a place's files with their checksums, sorted; gs:// costs a listing and no download.

    Args:
        place: Local path, file:// or gs:// URI.

    Raises:
        RefusedError: Missing, not well formed, or not permitted.
    """
    if _is_gs(place):
        return sorted(Entry(name, blob.size, blob.crc32c) for name, blob in _objects(place))
    path = _there(place)
    if path.is_file():
        return [_entry(path, path.name)]
    names = [file for file in sorted(path.rglob("*")) if file.is_file()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return sorted(pool.map(lambda file: _entry(file, file.relative_to(path).as_posix()), names))


def local(place: str, cache: Path | None) -> Path:
    """Brings a place here.

    Args:
        place: Local path, file:// or gs:// URI.
        cache: Folder that gs:// objects are downloaded to; needed for those only.

    Returns:
        The place's own path; for gs:// the file or folder in `cache`.

    Raises:
        RefusedError: Missing, not well formed, not permitted, or damaged on the way.
    """
    if not _is_gs(place):
        return _there(place)
    if cache is None:
        raise RefusedError(f"{place}: in a bucket; give a local copy here")
    objects = _objects(place)
    alone = len(objects) == 1 and PurePosixPath(_parsed(place)[1]).name == objects[0][0]
    folder = cache if alone else cache / (PurePosixPath(_parsed(place)[1]).name or _parsed(place)[0])
    with _refusing(place), ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: _download(item[1], folder / item[0]), objects))
    return cache / objects[0][0] if alone else folder



def put(file: Path, place: str) -> None:
    """Copies a file to a place that is new, whole or not at all.

    Args:
        file: Here.
        place: Path, file:// or gs:// URI of the file to make.

    Raises:
        RefusedError: Another file is there already (the same bytes are fine), or it is not permitted.
    """
    if _is_gs(place):
        _upload(file, place)
        return
    path = _path(place)
    if path.exists():
        if _entry(path, "").crc32c != _entry(file, "").crc32c:
            raise RefusedError(f"{place}: another file is there already; nothing is overwritten")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    shutil.copyfile(file, partial)
    partial.replace(path)


def _upload(file: Path, place: str) -> None:
    import google.api_core.exceptions as api
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, name = _parsed(place)
    with _refusing(place):
        client, waits = _client()
        blob = client.bucket(bucket).blob(name)
        try:
            blob.upload_from_filename(str(file), checksum="crc32c", if_generation_match=0, timeout=_TIMEOUT,
                                      retry=DEFAULT_RETRY.with_timeout(_DEADLINE))
        except api.PreconditionFailed:  # there already, perhaps by a try of ours whose answer got lost
            blob.reload(**waits)
            if blob.crc32c != _entry(file, "").crc32c:
                raise RefusedError(f"{place}: another object is there already; nothing is overwritten") from None


def _is_gs(place: str) -> bool:
    scheme, colon, _ = place.partition("://")
    if colon and scheme not in ("gs", "file"):
        raise RefusedError(f"{place!r}: not a local path, file:// or gs:// URI")
    return place.startswith(_GS)


def _path(place: str) -> Path:
    if not place.startswith("file://"):
        if "\0" in place or "\n" in place:
            raise RefusedError(f"{place!r}: a path with a NUL or a newline")
        return Path(place).expanduser()
    parts = urlsplit(place)
    name = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or bad_name(name.lstrip("/")) or bad_name(place.removeprefix("file://").lstrip("/")):
        raise RefusedError(f"{place!r}: not a well-formed file:// URI; expected file:///absolute/path without '..'")
    return Path(name)


def _there(place: str) -> Path:
    path = _path(place)
    if not path.exists():
        raise RefusedError(f"{place}: there is no such file or folder"
                           + ("" if path.is_absolute() else f" in {Path.cwd()}"))
    return path


def _entry(path: Path, name: str) -> Entry:
    import google_crc32c  # comes with google-cloud-storage

    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]
    size = 0
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                checksum.update(piece)
                size += len(piece)
    except PermissionError:
        raise RefusedError(f"{path}: this user may not read it; change its permissions or leave it out") from None
    return Entry(name, size, base64.b64encode(checksum.digest()).decode())


def _parsed(place: str) -> tuple[str, str]:
    """Bucket and name, the name without slashes at its ends."""
    bucket, _, name = place.removeprefix(_GS).partition("/")
    name = name.rstrip("/")
    if not _BUCKET.match(bucket) or bad_name(name) or "" in name.split("/")[:-1]:
        raise RefusedError(f"{place!r}: not a well-formed URI; expected gs://bucket/name without '..', empty parts or "
                           "control characters")
    return bucket, name


def _objects(place: str, *, first: bool = False) -> list[tuple[str, Any]]:
    """Names relative to the place and their blobs; with `first`, as soon as one is found, perhaps none."""
    bucket_name, name = _parsed(place)
    with _refusing(place):
        client, waits = _client()
        bucket = client.bucket(bucket_name)
        blob = bucket.get_blob(name, **waits) if name else None
        if blob is not None:
            return [(PurePosixPath(name).name, blob)]
        prefix = name + "/" if name else ""
        blobs = client.list_blobs(bucket, prefix=prefix, max_results=1 if first else None, **waits)
        found = [(blob.name.removeprefix(prefix), blob) for blob in blobs if first or not blob.name.endswith("/")]
    for relative, _ in found:
        if why := bad_name(relative) or ("has an empty part" if "" in relative.split("/")[:-1] else None):
            raise RefusedError(f"{place}: the object {relative!r} {why}; rename it in the bucket")
    if not found and not first:
        raise RefusedError(f"{place}: there is no such object, and none below it")
    return found


def _client() -> tuple[Any, dict[str, Any]]:
    from google.cloud import storage  # takes a second, so only who uses gs:// pays it
    from google.cloud.storage.retry import DEFAULT_RETRY

    return storage.Client(), {"timeout": _TIMEOUT, "retry": DEFAULT_RETRY.with_timeout(_DEADLINE)}


def _download(blob: Any, path: Path) -> None:
    from google.cloud.storage.exceptions import DataCorruption
    from google.cloud.storage.retry import DEFAULT_RETRY

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    for attempt in range(1, _TRIES + 1):
        try:
            blob.download_to_filename(str(partial), checksum="crc32c", timeout=_TIMEOUT,
                                      retry=DEFAULT_RETRY.with_timeout(_DEADLINE))
            break
        except DataCorruption:
            if attempt == _TRIES:
                raise
    partial.replace(path)


@contextmanager
def _refusing(place: str) -> Iterator[None]:
    """Turns what the service answers into one sentence."""
    import google.api_core.exceptions as api
    import google.auth.exceptions as auth
    import requests  # type: ignore[import-untyped]
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except api.NotFound:
        raise RefusedError(f"{place}: there is no such bucket, or the object went away") from None
    except (api.Forbidden, api.Unauthorized) as error:
        raise RefusedError(f"{place}: not permitted ({error.code}); give this account storage.objects.list and .get on "
                           "the bucket") from None
    except auth.DefaultCredentialsError:
        raise RefusedError(f"{place}: no credentials for Google Cloud; run `gcloud auth application-default login`, or "
                           "set GOOGLE_APPLICATION_CREDENTIALS") from None
    except auth.GoogleAuthError as error:
        raise RefusedError(f"{place}: the credentials were not accepted: {error}") from None
    except DataCorruption:
        raise RefusedError(f"{place}: an object's bytes came damaged {_TRIES} times; check the network") from None
    except (api.RetryError, api.ServerError, api.TooManyRequests, requests.RequestException) as error:
        raise RefusedError(f"{place}: no answer in {_DEADLINE:.0f} s ({type(error).__name__}); try again") from None
