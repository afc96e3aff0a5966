"""Images without labels, at any depth of a folder, a bucket's prefix or an archive: a target to adapt to."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePosixPath

from graftline.data.dataset import Dropped
from graftline.data.formats.archives.files import fetch_members, files_of
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.tree import IMAGES, SPLITS, is_junk, wrapping
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.runtime.errors import RefusedError


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with files_of(place) as files:
        members = [member for member in files.members if not is_junk(member.name)]
        images = [member for member in members if PurePosixPath(member.name).suffix.lower() in IMAGES]
        if not images:
            raise RefusedError(
                f"{place}: no images found among {len(members):,} files; expected names that end in "
                f"{', '.join(sorted(IMAGES))}"
            )
        top = wrapping([member.name for member in images])
        paths = [member.name.split("/")[top:] for member in images]
        splits = _split_level(place, paths)
        faults = [fault for fault in files.faults if not is_junk(fault.file)]
        samples = []
        for member, path in zip(images, paths, strict=True):
            if splits and len(path) < 2:
                faults.append(Dropped(file=member.name, why="in no split folder"))
            else:
                samples.append(RawSample(member.name, "", SPLITS[path[0].lower()] if splits else None, member.open))
        others = len(members) - len(images)
        notes = [f"{others:,} files that are no images by their names were passed over"] if others else []
        yield RawDataset([], samples, faults, notes, fetch=partial(fetch_members, place))


def _split_level(place: DataLocation, paths: Sequence[Sequence[str]]) -> bool:
    """Whether the first folders are splits."""
    first = {path[0] for path in paths if len(path) >= 2}
    named = {name for name in first if name.lower() in SPLITS}
    if len(named) >= 2 and named != first:
        raise RefusedError(
            f"{place}: {sorted(named)} look like splits, {sorted(first - named)} beside them do not; move those out"
        )
    return bool(named) and named == first


FORMAT = Format(
    "unlabelled",
    "images without labels, at any depth; never found by itself: set format: unlabelled",
    lambda place: False,
    _read,
)
