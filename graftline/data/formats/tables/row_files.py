"""Files that table rows name: next to the table, locally or in its bucket, or any object by its gs:// URI."""

import os
import posixpath
import re
import stat
from pathlib import Path
from typing import BinaryIO

from graftline.data.formats.location import DataLocation
from graftline.data.formats.raw import RawSample
from graftline.runtime.errors import RefusedError
from graftline.storage import access
from graftline.storage.gcs.object_names import GS, check_object, parsed
from graftline.storage.paths import bad_name

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?=//)|(data):", re.IGNORECASE)
_MAX_SCHEME_LENGTH = 20


class RowFiles:
    """Resolves and opens the files that rows name. A file's key is its path relative to the location, or its URI."""

    def __init__(self, location: DataLocation) -> None:
        self._location = location
        self._root = location.path if location.is_folder else location.path.parent
        self._resolved_root = os.path.realpath(self._root)
        self._listed = None if location.entries is None else {entry.name for entry in location.entries}
        is_single_object = self._listed is None and access.is_remote(location.uri)
        self._uri_prefix = location.uri.rpartition("/")[0] + "/" if is_single_object else ""
        self._is_folder_inside: dict[str, bool] = {}
        self._fetched: dict[str, Path] = {}

    def resolve(self, folder: str, name: str) -> tuple[str, str | None]:
        """Resolves the name in a row.

        Args:
            folder: Folder of the table, relative to the location.
            name: As in the row.

        Returns:
            The key of the file, and the reason why it cannot be used or None. Objects next to a single table in a
            bucket and objects with their own URIs are not looked up; `load` raises if they do not exist.
        """
        if scheme := _URI.match(name):
            return name, _find_uri_problem(name, (scheme[1] or scheme[2]).lower())
        if problem := bad_name(name):
            return name, problem + "; use paths relative to the table's folder"
        key = posixpath.normpath(posixpath.join(folder, name))
        if self._uri_prefix:
            return key, _find_object_problem(self._uri_prefix + key)
        if self._listed is not None:
            return key, None if key in self._listed else "no such file"
        return key, self._find_file_problem(key)

    def locate_external(self, key: str) -> str | None:
        """Returns the path or URI of a file that is not in the location's own listing, else None."""
        return self._uri_of(key) or (None if self._location.is_folder else str(self._root / key))

    def fetch(self, samples: list[RawSample]) -> None:
        """Downloads the files of samples in one batch.

        Raises:
            RefusedError: The storage denies access, or there is no folder for downloads.
        """
        keys = [sample.key for sample in samples]
        if self._listed is not None:
            self._location.fetch([key for key in keys if key in self._listed])
        if uris := [uri for key in keys if (uri := self._uri_of(key))]:
            self._fetch(uris)

    def load(self, key: str) -> BinaryIO:
        """Opens a file, downloading it if necessary.

        Raises:
            OSError: The file does not exist or cannot be read.
        """
        uri = self._uri_of(key)
        if uri is None:
            path = self._location.fetch_file(key) if self._listed is not None else self._root / key
            return path.open("rb")
        if uri not in self._fetched:
            self._fetch([uri])
        if uri not in self._fetched:
            raise FileNotFoundError(f"no such object: {uri}")
        return self._fetched[uri].open("rb")

    def _uri_of(self, key: str) -> str | None:
        if key.startswith(GS):
            return key
        return self._uri_prefix + key if self._uri_prefix else None

    def _fetch(self, uris: list[str]) -> None:
        if self._location.scratch is None:
            raise RefusedError(
                f"{self._location}: the rows name objects in buckets, and only local data can be used here; give a "
                "local copy"
            )
        self._fetched.update(access.fetch_uris(uris, self._location.scratch))

    def _find_file_problem(self, key: str) -> str | None:
        """Checks a local file. Its folder is resolved once, because most rows share a few folders."""
        folder = posixpath.dirname(key)
        if folder not in self._is_folder_inside:
            self._is_folder_inside[folder] = self._is_inside(self._root / folder)
        if not self._is_folder_inside[folder]:
            return "a link to a file outside the folder"
        path = self._root / key
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not self._is_inside(path):
                    return "a link to a file outside the folder"
                status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return "a broken link" if path.is_symlink() else "no such file"
        except OSError as error:
            return f"not accessible: {error.strerror}"
        return None if stat.S_ISREG(status.st_mode) else "not a regular file"

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._resolved_root)


def _find_uri_problem(uri: str, scheme: str) -> str | None:
    if scheme != "gs":
        return (
            f"{scheme[:_MAX_SCHEME_LENGTH]}: URIs are not supported; put the file next to the table, or use a gs:// URI"
        )
    return _find_object_problem(uri)


def _find_object_problem(uri: str) -> str | None:
    """Checks one URI, because a malformed one would make the download of the others fail too."""
    try:
        if not uri.startswith(GS) or uri.endswith("/") or not (name := parsed(uri)[1]):
            raise RefusedError
        check_object(uri, name)
    except RefusedError:
        return (
            "malformed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or control characters"
        )
    return None
