"""Which JSONs of a place are COCO's, and in which folders the images lie that they name."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO

from graftline.data.formats.archives.files import glance, is_archive
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import is_tar
from graftline.data.formats.coco.annotations import looks_like
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.split_names import WORD
from graftline.data.formats.naming.tree import is_junk
from graftline.runtime.errors import RefusedError

ANNOTATIONS = "annotations"
_SURE = [re.compile(r"(^|/)_annotations\.coco\.json$"), re.compile(r"(^|/)annotations/instances_[^/]*\.json$")]
_FORMS = [
    *_SURE,
    re.compile(r"(^|/)annotations/[^/]*\.json$"),
    re.compile(r"(^|/)(annotations|labels)\.json$"),
    re.compile(r"^[^/]*\.json$"),
]
"""Names of the JSONs; where there is one of a form, those of later forms are not read."""
_ENDS = 2**16
_LOOK = 32


def found(place: DataLocation) -> bool:
    """Whether a place looks like this format: in an archive the names must do, elsewhere a JSON is looked into."""
    if is_archive(place):
        return any(form.search(name) for name in _names_in(place) for form in _SURE)
    with suppress(OSError):
        if place.is_file:
            with place.path.open("rb") as file:
                return _is_coco(file)
        for name in islice(_likeliest(_near(place)), _LOOK):
            with place.file(name).open("rb") as file:
                if _is_coco(file):
                    return True
    return False


def choose(place: DataLocation, members: Sequence[Member]) -> list[Member]:
    """Picks the JSONs to read, passing over what lies beside them and is none.

    Raises:
        RefusedError: There is no JSON under one of the usual names.
    """
    by_name = {member.name: member for member in members}
    likeliest = [by_name[name] for name in _likeliest(by_name)]
    if not likeliest:
        raise RefusedError(
            f"{place}: no COCO JSON among {len(members):,} files; expected "
            "annotations/instances_*.json, _annotations.coco.json in the images' folders, or "
            "annotations.json"
        )
    return [member for member in likeliest if _opens_as_coco(member)] or likeliest[:1]


def folders_of(name: str) -> list[str]:
    """Folders that a JSON's images may lie in, the likelier first, each with a slash at its end or empty.

    Args:
        name: The JSON's, relative to the place.
    """
    path = PurePosixPath(name)
    around = [path.parent, path.parent.parent] if path.parent.name == ANNOTATIONS else [path.parent]
    inner = ["", "images", "data"]
    if words := list(WORD.finditer(path.stem.lower())):
        own = [path.stem[words[-1].start() :], words[-1][1]]  # instances_train2017.json: train2017, train
        inner = [*own, *(f"images/{each}" for each in own), *inner]
    folders = [(parent / each).as_posix() for parent in around for each in inner]
    return ["" if folder == "." else folder + "/" for folder in folders]


def _names_in(place: DataLocation) -> Sequence[str]:
    """An archive's names: all of a zip, which tells them cheaply, the first of a tar."""
    if zipfile.is_zipfile(place.path) and not is_tar(place.path):
        with (
            suppress(zipfile.BadZipFile, OSError, ValueError, NotImplementedError),
            zipfile.ZipFile(place.path) as opened,
        ):
            return opened.namelist()
    return list(glance(place))


def _near(place: DataLocation) -> list[str]:
    """Names of JSONs in a folder and in its folders; none elsewhere."""
    if place.entries is not None:
        return [entry.name for entry in place.entries if entry.name.count("/") <= 1]
    return [
        path.relative_to(place.path).as_posix()
        for depth in ("*.json", "*/*.json")
        for path in place.path.glob(depth)
        if path.is_file()
    ]


def _likeliest(names: Iterable[str]) -> list[str]:
    names = sorted(name for name in names if not is_junk(name))
    return next((fit for form in _FORMS if (fit := [name for name in names if form.search(name)])), [])


def _opens_as_coco(member: Member) -> bool:
    try:
        with member.open() as file:
            return _is_coco(file)
    except OSError:  # reading it says why
        return True


def _is_coco(file: BinaryIO) -> bool:
    head = file.read(_ENDS)
    file.seek(max(0, file.seek(0, 2) - _ENDS))
    return looks_like(head, file.read(_ENDS))
