"""WebDataset: tar shards whose members of one key, side by side, are one sample: `0007.jpg`, `0007.cls`.

Images are read in place. Labels lie within the shards, so a bucket's shards are fetched whole before the samples are
known.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from graftline.config import Columns
from graftline.data.dataset import Dropped
from graftline.data.formats.archives.files import files_of
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import first_names
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.class_list import class_names
from graftline.data.formats.naming.record_fields import UnfitError, shown
from graftline.data.formats.naming.split_names import split_of
from graftline.data.formats.naming.tree import IMAGES, is_junk
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.data.formats.webdataset.fields import MAX_BYTES, beside, facts_of, is_image, is_label, key_of, looks_like
from graftline.data.formats.webdataset.shards import entries
from graftline.runtime.errors import RefusedError

_SHARD = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)
_META = re.compile(r"__[^/]*__($|/)")  # members that WebDataset passes over
_LOOK = 64


@dataclass
class _Group:
    """Members of one key, side by side."""

    key: str
    images: dict[str, Callable[[], BinaryIO]] = field(default_factory=dict)
    labels: dict[str, bytes | None] = field(default_factory=dict)
    """None for what is too long to be one."""


def _found(place: DataLocation) -> bool:
    """Looks into a local shard; of a bucket the names must do, nothing else reads a prefix of tars and no images."""
    if place.is_file:
        return _is_shard(place.path)
    names = [name for name in place.first_names(_LOOK) if not is_junk(name)]
    shards = [name for name in names if _SHARD.search(name)]
    if any(PurePosixPath(name).suffix.lower() in IMAGES for name in names):
        return False
    return bool(shards) if place.entries is not None else any(_is_shard(place.path / name) for name in shards[:3])


def _is_shard(path: Path) -> bool:
    with suppress(OSError):
        return looks_like(name for name in islice(first_names(path), _LOOK) if not is_junk(name))
    return False


@contextmanager
def _read(place: DataLocation) -> Iterator[RawDataset]:
    with TemporaryFile() as spool:
        if place.is_file:
            shards, names, faults = [place.path.name], None, []
        else:
            with files_of(place) as files:
                shards, names = _shards(place, files.members)
                faults = [fault for fault in files.faults if _SHARD.search(fault.file)]
            place.fetch(shards)
        samples: list[RawSample] = []
        for shard in shards:
            path = place.path if place.is_file else place.file(shard)
            for found in _samples(shard, path, spool, place.columns, names):
                if isinstance(found, RawSample):
                    samples.append(found)
                else:
                    faults.append(found)
        if not samples:
            first = f": {faults[0].file}: {faults[0].why}" if faults else ""
            raise RefusedError(
                f"{place}: no image with a label in {len(shards):,} shards{first}; expected members "
                "such as 0007.jpg and 0007.cls side by side"
            )
        spool.flush()
        yield RawDataset(_classes({sample.label for sample in samples}, names), samples, faults)


def _shards(place: DataLocation, members: Sequence[Member]) -> tuple[list[str], list[str] | None]:
    """Names of the shards, and of the classes where a file beside them lists those."""
    shards = sorted(member.name for member in members if _SHARD.search(member.name) and not is_junk(member.name))
    if not shards:
        raise RefusedError(
            f"{place}: no shards among {len(members):,} files; expected NAME-000000.tar and so on, or "
            "with .tar.gz or .tgz"
        )
    folders = {PurePosixPath(name).parent for name in shards}
    beside = [folders.pop()] if len(folders) == 1 else []
    return shards, class_names(place, members, [*beside, PurePosixPath()])


def _samples(
    shard: str, path: Path, spool: IO[bytes], columns: Columns, names: Sequence[str] | None
) -> Iterator[RawSample | Dropped]:
    seen = set()
    for group in _groups(path, spool, columns):
        name = f"{shard}/{shown(group.key)}"
        if not group.images and not group.labels:
            continue
        try:
            if group.key in seen:
                raise UnfitError(
                    "stands twice in its shard, and not side by side; write the members of a sample one "
                    "after the other, as tar --sort=name does"
                )
            seen.add(group.key)
            yield _sample(shard, name, group, columns, names)
        except UnfitError as error:
            yield Dropped(file=name, why=str(error))


def _groups(path: Path, spool: IO[bytes], columns: Columns) -> Iterator[_Group]:
    group: _Group | None = None
    for entry in entries(path, spool):
        found = None if is_junk(entry.name) or _META.match(entry.name) else key_of(entry.name)
        if found is None:
            continue
        key, name = found
        if group is None or group.key != key:
            if group is not None:
                yield group
            group = _Group(key)
        if is_image(name):
            group.images[name] = entry.keep()
        elif is_label(name, columns):
            group.labels[name] = entry.read() if entry.size <= MAX_BYTES else None
    if group is not None:
        yield group


def _sample(shard: str, name: str, group: _Group, columns: Columns, names: Sequence[str] | None) -> RawSample:
    if not group.images:
        raise UnfitError(f"a label ({', '.join(map(shown, group.labels))}) and no image beside it")
    if len(group.images) > 1:
        raise UnfitError(
            f"{len(group.images)} images ({', '.join(map(shown, list(group.images)[:5]))}); classification needs one"
        )
    [(image, load)] = group.images.items()
    facts = facts_of(beside(image, group.labels), columns)
    label = facts.label
    if facts.number is not None and names is not None:
        if facts.number >= len(names):
            raise RefusedError(
                f"{name}: has the class {facts.number}, and the file of class names beside the shards "
                f"ends at {len(names) - 1} (its first line is class 0); complete or remove that file"
            )
        label = names[facts.number]
    return RawSample(name, label, facts.split or split_of(shard), load, facts.group)


def _classes(found: set[str], names: Sequence[str] | None) -> list[str]:
    """In the order of the names' file; else numbers by size, words by the alphabet."""
    listed = [name for name in names or () if name in found]
    rest = found.difference(listed)
    numbers = all(label.isascii() and label.isdigit() for label in rest)
    return listed + (sorted(rest, key=lambda label: (int(label), label)) if numbers else sorted(rest))


FORMAT = Format(
    "webdataset", "WebDataset tar shards, NAME-000000.tar: 0007.jpg beside 0007.cls, .txt or .json", _found, _read
)
