"""The files that a table's rows name: beside the table, here or in its bucket, or anywhere in a bucket by gs:// URI."""

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


class RowFiles:
    """Checks names, one a row, and opens what they name. A file's key is its name from the place's top, or its URI."""

    def __init__(self, place: DataLocation) -> None:
        self._place = place
        self._root = place.path if place.is_folder else place.path.parent
        self._real = os.path.realpath(self._root)
        self._listed = None if place.entries is None else {entry.name for entry in place.entries}
        alone = self._listed is None and access.is_remote(place.uri)
        self._beside = place.uri.rpartition("/")[0] + "/" if alone else ""
        self._inside: dict[str, bool] = {}
        self._fetched: dict[str, Path] = {}

    def look(self, folder: str, name: str) -> tuple[str, str | None]:
        """Checks what a row names.

        Args:
            folder: The table's own, from the place's top.
            name: As the row has it.

        Returns:
            The file's key, and why it cannot be taken, None when it can. Objects beside a lone table in a bucket, and
            those with URIs of their own, are taken unseen; `load` tells when they are not there.
        """
        if scheme := _URI.match(name):
            return name, _bad_uri(name, (scheme[1] or scheme[2]).lower())
        if why := bad_name(name):
            return name, why + "; name files from the table's folder on"
        key = posixpath.normpath(posixpath.join(folder, name))
        if self._beside:
            return key, _bad_object(self._beside + key)
        if self._listed is not None:
            return key, None if key in self._listed else "there is no such file"
        return key, self._local(key)

    def outside(self, key: str) -> str | None:
        """Where a file lies that the listing of the place itself does not tell of."""
        return self._uri(key) or (None if self._place.is_folder else str(self._root / key))

    def fetch(self, samples: list[RawSample]) -> None:
        """Brings files here in one go.

        Raises:
            RefusedError: Storage refuses, or there is no folder to bring them to.
        """
        keys = [sample.key for sample in samples]
        if self._listed is not None:
            self._place.fetch([key for key in keys if key in self._listed])
        if uris := [uri for key in keys if (uri := self._uri(key))]:
            self._fetch(uris)

    def load(self, key: str) -> BinaryIO:
        """Opens a file, fetched if it was not yet.

        Raises:
            OSError: It is not there, or cannot be read.
        """
        uri = self._uri(key)
        if uri is None:
            return self._place.file(key).open("rb") if self._listed is not None else (self._root / key).open("rb")
        if uri not in self._fetched:
            self._fetch([uri])
        if uri not in self._fetched:
            raise FileNotFoundError(f"there is no object {uri}")
        return self._fetched[uri].open("rb")

    def _uri(self, key: str) -> str | None:
        if key.startswith(GS):
            return key
        return self._beside + key if self._beside else None

    def _fetch(self, uris: list[str]) -> None:
        if self._place.scratch is None:
            raise RefusedError(f"{self._place}: its rows name objects in buckets; give a local copy here")
        self._fetched.update(access.fetch_uris(uris, self._place.scratch))

    def _local(self, key: str) -> str | None:
        """Looks at the file itself; its folder is resolved once, as most rows share theirs."""
        folder = posixpath.dirname(key)
        if folder not in self._inside:
            self._inside[folder] = self._holds(self._root / folder)
        if not self._inside[folder]:
            return "a link out of the folder"
        path = self._root / key
        try:
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                if not self._holds(path):
                    return "a link out of the folder"
                found = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return "a link to nothing" if path.is_symlink() else "there is no such file"
        except OSError as error:
            return f"cannot be looked at: {error.strerror}"
        return None if stat.S_ISREG(found.st_mode) else "not a regular file"

    def _holds(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self._real)


def _bad_uri(uri: str, scheme: str) -> str | None:
    if scheme != "gs":
        return f"a {scheme[:20]}: URI is not fetched; bring the file beside the table, or give a gs:// URI"
    return _bad_object(uri)


def _bad_object(uri: str) -> str | None:
    """Says what would refuse a whole fetch for the sake of one name."""
    try:
        if not uri.startswith(GS) or uri.endswith("/") or not (name := parsed(uri)[1]):
            raise RefusedError
        check_object(uri, name)
    except RefusedError:
        return (
            "not a well-formed URI; expected gs://bucket/name without '..', '.', empty or overlong parts or "
            "control characters"
        )
    return None
