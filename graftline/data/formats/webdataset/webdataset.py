"""WebDataset: tar shards in which consecutive members with one key are one sample: `0007.jpg`, `0007.cls`.

Images are read in place. The labels are inside the shards, so listing the samples of a bucket downloads all shards.
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
from graftline.data.formats.archives.file_trees import open_files
from graftline.data.formats.archives.members import Member
from graftline.data.formats.archives.tars import iter_names
from graftline.data.formats.location import DataLocation
from graftline.data.formats.naming.class_list import read_class_list
from graftline.data.formats.naming.file_names import IMAGE_SUFFIXES, is_junk, suffix_of
from graftline.data.formats.naming.record_fields import InvalidSampleError, escape_name
from graftline.data.formats.naming.split_names import split_of_path
from graftline.data.formats.raw import Format, RawDataset, RawSample
from graftline.data.formats.webdataset.fields import (
    MAX_BYTES,
    is_image,
    is_label,
    looks_like_shard,
    parse_name,
    read_fields,
    strip_image_prefix,
)
from graftline.data.formats.webdataset.shards import iter_members
from graftline.runtime.errors import RefusedError

_SHARD = re.compile(r"\.(tar|tar\.gz|tgz)$", re.IGNORECASE)
_METADATA = re.compile(r"__[^/]*__($|/)")  # members that WebDataset itself ignores
_MAX_NAMES = 64
_MAX_SHARDS_OPENED = 3


@dataclass
class _SampleMembers:
    """Consecutive members with one key."""

    key: str
    images: dict[str, Callable[[], BinaryIO]] = field(default_factory=dict)
    labels: dict[str, bytes | None] = field(default_factory=dict)
    """Content by field; None if it is too long for a label."""


def _detect(location: DataLocation) -> bool:
    """Opens local shards. For a bucket the names decide: no other format reads a prefix with tars and no images."""
    if location.is_file:
        return _is_shard(location.path)
    names = [name for name in location.iter_first_names(_MAX_NAMES) if not is_junk(name)]
    shards = [name for name in names if _SHARD.search(name)]
    if any(suffix_of(name) in IMAGE_SUFFIXES for name in names):
        return False
    if location.entries is not None:
        return bool(shards)
    return any(_is_shard(location.path / name) for name in shards[:_MAX_SHARDS_OPENED])


def _is_shard(path: Path) -> bool:
    with suppress(OSError):
        return looks_like_shard(name for name in islice(iter_names(path), _MAX_NAMES) if not is_junk(name))
    return False


@contextmanager
def _open(location: DataLocation) -> Iterator[RawDataset]:
    with TemporaryFile() as unpacked:
        if location.is_file:
            shards, class_names, dropped = [location.path.name], None, []
        else:
            with open_files(location) as tree:
                shards, class_names = _list_shards(location, tree.members)
                dropped = [item for item in tree.dropped if _SHARD.search(item.file)]
            location.fetch(shards)
        samples: list[RawSample] = []
        for shard in shards:
            path = location.path if location.is_file else location.fetch_file(shard)
            for item in _read_shard(shard, path, unpacked, location.columns, class_names):
                if isinstance(item, RawSample):
                    samples.append(item)
                else:
                    dropped.append(item)
        if not samples:
            first = f": {dropped[0].file}: {dropped[0].why}" if dropped else ""
            raise RefusedError(
                f"{location}: no image with a label in {len(shards):,} shards{first}; expected consecutive members "
                "such as 0007.jpg and 0007.cls"
            )
        unpacked.flush()
        yield RawDataset(_order_classes({sample.label for sample in samples}, class_names), samples, dropped)


def _list_shards(location: DataLocation, members: Sequence[Member]) -> tuple[list[str], list[str] | None]:
    """Returns the shard names, and the class names if a file next to the shards lists them."""
    shards = sorted(member.name for member in members if _SHARD.search(member.name) and not is_junk(member.name))
    if not shards:
        raise RefusedError(
            f"{location}: no shards among {len(members):,} files; expected names such as NAME-000000.tar, or with "
            ".tar.gz or .tgz"
        )
    folders = {PurePosixPath(name).parent for name in shards}
    shard_folder = [folders.pop()] if len(folders) == 1 else []
    return shards, read_class_list(location, members, [*shard_folder, PurePosixPath()])


def _read_shard(
    shard: str, path: Path, unpacked: IO[bytes], columns: Columns, class_names: Sequence[str] | None
) -> Iterator[RawSample | Dropped]:
    keys = set()
    for members in _group_members(path, unpacked, columns):
        name = f"{shard}/{escape_name(members.key)}"
        if not members.images and not members.labels:
            continue
        try:
            if members.key in keys:
                raise InvalidSampleError(
                    "its key occurs twice in the shard, not consecutively; write the members of a sample one after "
                    "the other, for example with tar --sort=name"
                )
            keys.add(members.key)
            yield _read_sample(shard, name, members, columns, class_names)
        except InvalidSampleError as error:
            yield Dropped(file=name, why=str(error))


def _group_members(path: Path, unpacked: IO[bytes], columns: Columns) -> Iterator[_SampleMembers]:
    members: _SampleMembers | None = None
    for member in iter_members(path, unpacked):
        parsed = None if is_junk(member.name) or _METADATA.match(member.name) else parse_name(member.name)
        if parsed is None:
            continue
        key, name = parsed
        if members is None or members.key != key:
            if members is not None:
                yield members
            members = _SampleMembers(key)
        if is_image(name):
            members.images[name] = member.keep()
        elif is_label(name, columns):
            members.labels[name] = member.read() if member.size <= MAX_BYTES else None
    if members is not None:
        yield members


def _read_sample(
    shard: str, name: str, members: _SampleMembers, columns: Columns, class_names: Sequence[str] | None
) -> RawSample:
    if not members.images:
        raise InvalidSampleError(f"a label ({', '.join(map(escape_name, members.labels))}) without an image")
    if len(members.images) > 1:
        images = ", ".join(map(escape_name, list(members.images)[:5]))
        raise InvalidSampleError(f"{len(members.images)} images ({images}); classification needs one per sample")
    [(image, load)] = members.images.items()
    fields = read_fields(strip_image_prefix(image, members.labels), columns)
    label = fields.label
    if fields.class_number is not None and class_names is not None:
        if fields.class_number >= len(class_names):
            raise RefusedError(
                f"{name}: class number {fields.class_number}, but the list of class names next to the shards ends at "
                f"{len(class_names) - 1} (its first line is class 0); complete or remove that file"
            )
        label = class_names[fields.class_number]
    return RawSample(name, label, fields.split or split_of_path(shard), load, fields.group)


def _order_classes(names: set[str], class_names: Sequence[str] | None) -> list[str]:
    """Orders classes as in the class list; others by number if all are numbers, else alphabetically."""
    listed = [name for name in class_names or () if name in names]
    rest = names.difference(listed)
    are_numbers = all(name.isascii() and name.isdigit() for name in rest)
    return listed + (sorted(rest, key=lambda name: (int(name), name)) if are_numbers else sorted(rest))


FORMAT = Format(
    "webdataset",
    "WebDataset tar shards, NAME-000000.tar: 0007.jpg next to 0007.cls, .txt or .json",
    _detect,
    _open,
    takes_columns=True,
)
