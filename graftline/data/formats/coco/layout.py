"""Layout of COCO data: which JSON files hold annotations, and which folders can hold their images."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from graftline.data.formats.archives.file_trees import is_archive, iter_first_names
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import is_tar
from graftline.data.formats.coco.annotations import looks_like_coco
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.file_names import is_junk
from graftline.data.formats.naming.split_names import SPLIT_WORD
from graftline.runtime.errors import RefusedError

ANNOTATIONS = "annotations"
_UNAMBIGUOUS = [re.compile(r"(^|/)_annotations\.coco\.json$"), re.compile(r"(^|/)annotations/instances_[^/]*\.json$")]
_PATTERNS = [
    *_UNAMBIGUOUS,
    re.compile(r"(^|/)annotations/[^/]*\.json$"),
    re.compile(r"(^|/)(annotations|labels)\.json$"),
    re.compile(r"^[^/]*\.json$"),
]
"""Names of annotation files by precedence; files that match a later pattern are ignored if an earlier one matches."""
_NUM_END_BYTES = 2**16
_MAX_OPENED = 32


def detect(location: DataLocation) -> bool:
    """Returns whether a location is COCO data: by names in an archive, by a JSON's content elsewhere."""
    if is_archive(location):
        return any(pattern.search(name) for name in _list_archive(location) for pattern in _UNAMBIGUOUS)
    with suppress(OSError):
        if location.is_file:
            with location.path.open("rb") as file:
                return _is_coco(file)
        for name in islice(_select_names(_list_folder(location)), _MAX_OPENED):
            with location.fetch_file(name).open("rb") as file:
                if _is_coco(file):
                    return True
    return False


def select_annotation_files(location: DataLocation, members: Sequence[Member]) -> list[Member]:
    """Returns the annotation files to read, without other JSON files next to them.

    Raises:
        RefusedError: No JSON has one of the usual names.
    """
    by_name = {member.name: member for member in members}
    candidates = [by_name[name] for name in _select_names(by_name)]
    if not candidates:
        raise RefusedError(
            f"{location}: no COCO JSON among {len(members):,} files; expected annotations/instances_*.json, "
            "_annotations.coco.json in the image folders, or annotations.json"
        )
    return [member for member in candidates if _can_be_coco(member)] or candidates[:1]


def image_folders(name: str) -> list[str]:
    """Returns the folders that can hold the images of a JSON, by precedence, each with a trailing slash or empty.

    Args:
        name: Relative path of the JSON.
    """
    path = PurePosixPath(name)
    parents = [path.parent, path.parent.parent] if path.parent.name == ANNOTATIONS else [path.parent]
    subfolders = ["", "images", "data"]
    if words := list(SPLIT_WORD.finditer(path.stem.lower())):
        # instances_train2017.json: train2017, train
        split_folders = [path.stem[words[-1].start() :], words[-1][1]]
        subfolders = [*split_folders, *(f"images/{folder}" for folder in split_folders), *subfolders]
    folders = [(parent / subfolder).as_posix() for parent in parents for subfolder in subfolders]
    return ["" if folder == "." else folder + "/" for folder in folders]


def _list_archive(location: DataLocation) -> Sequence[str]:
    """Returns all names of a zip, which are cheap to list, or the first names of a tar."""
    if zipfile.is_zipfile(location.path) and not is_tar(location.path):
        with (
            suppress(zipfile.BadZipFile, OSError, ValueError, NotImplementedError),
            zipfile.ZipFile(location.path) as archive,
        ):
            return archive.namelist()
    return list(iter_first_names(location))


def _list_folder(location: DataLocation) -> list[str]:
    """Returns the names of JSON files in a folder and its subfolders; empty for a file."""
    if location.entries is not None:
        return [entry.name for entry in location.entries if entry.name.count("/") <= 1]
    return [
        path.relative_to(location.path).as_posix()
        for pattern in ("*.json", "*/*.json")
        for path in location.path.glob(pattern)
        if path.is_file()
    ]


def _select_names(names: Iterable[str]) -> list[str]:
    """Returns the names that match the first pattern with any match."""
    names = sorted(name for name in names if not is_junk(name))
    for pattern in _PATTERNS:
        if matching := [name for name in names if pattern.search(name)]:
            return matching
    return []


def _can_be_coco(member: Member) -> bool:
    try:
        with member.open() as file:
            return _is_coco(file)
    except OSError:  # reading reports the reason
        return True


def _is_coco(file: BinaryIO) -> bool:
    head = file.read(_NUM_END_BYTES)
    file.seek(max(0, file.seek(0, 2) - _NUM_END_BYTES))
    return looks_like_coco(head, file.read(_NUM_END_BYTES))
